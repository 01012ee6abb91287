//! What templates may do, and that those which do too much are refused.

use super::message;
use crate::text::{ChatTemplate, Message, Role, TextError};

fn conversation() -> Vec<Message> {
    vec![
        message(Role::System, " be kind "),
        message(Role::User, "Hi & <bye>"),
    ]
}

fn render(source: &str) -> Result<String, TextError> {
    ChatTemplate::new(source, "<s>", "</s>")?.render(&conversation(), true)
}

#[test]
fn what_templates_use() {
    let cases = [
        (
            "{% for m in messages %}\n  {% if loop.first %}\n{{ m['content'].strip() }}\n  {% endif %}\n{% endfor %}",
            "be kind\n",
        ),
        (
            "{{ messages[0].content | trim }}{{ bos_token }}{{ eos_token }}",
            "be kind<s></s>",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages[1:] %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "1",
        ),
        (
            "{% macro f(x, y='!') %}[{{ x }}{{ y }}]{% endmacro %}{{ f('a') ~ f('b', y='?') }}",
            "[a!][b?]",
        ),
        (
            "{% set text %}a{{ 1 + 2 }}b{% endset %}{{ text + 'c' }}",
            "a3bc",
        ),
        (
            "{{ messages[1].content | tojson }} {{ {'a': [1, true, none], 'b': {}} | tojson }}",
            "\"Hi & <bye>\" {\"a\": [1, true, null], \"b\": {}}",
        ),
        (
            "{{ {'a': [1]} | tojson(indent=2) }}",
            "{\n  \"a\": [\n    1\n  ]\n}",
        ),
        (
            "{% for m in messages if m.role == 'user' %}{{ m.content.split(' ')[-1] }}{% endfor %}",
            "<bye>",
        ),
        (
            "{{ ['a', 'b'] | join(', ') }}{{ '-'.join(['c', 'd']) }}{{ 'xyx'.replace('x', 'z') }}",
            "a, bc-dzyz",
        ),
        (
            "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "01",
        ),
        (
            "{{ tools is none }}{{ strftime_now is defined }}{{ messages | length == 2 and 'x' or 'y' }}",
            "truefalsex",
        ),
        (
            "{% for k, v in messages[0].items() %}{{ k }}{{ loop.index }}{% endfor %}",
            "role1content2",
        ),
        (
            "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='role') | list | first }}",
            "user",
        ),
        (
            "{% if 'a' in 'cat' and not (1 > 2) %}{{ 'y' if messages else 'n' }}{% elif x %}{% else %}n{% endif %}",
            "y",
        ),
    ];
    for (source, expected) in cases {
        let text = render(source).unwrap_or_else(|e| panic!("{source}: {e}"));
        assert_eq!(text.to_lowercase(), expected.to_lowercase(), "{source}");
    }
}

#[test]
fn refusals_say_why() {
    let cases = [
        (
            "{{ raise_exception('roles must alternate') }}",
            "roles must alternate",
        ),
        ("{{ strftime_now('%Y') }}", "today's date"),
        ("\n\n{% if %}", "line 3"),
        ("{{ nosuch() }}", "nosuch"),
        ("{{ 'a b' | urlize }}", "not supported"),
        ("{{ lipsum() }}", "not supported"),
        ("{% include 'chat_template' %}", "no other templates"),
        ("{{ [1].append(2) }}", "unsafe"),
    ];
    for (source, expected) in cases {
        let error = render(source).unwrap_err().to_string();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

/// A part that never runs refuses nothing, and a template that can't be read is refused at once.
#[test]
fn what_is_not_reached_is_not_refused() {
    for unreached in [
        "{% include 'x' %}",
        "{{ 'a' | nosuchfilter }}",
        "{{ 'a' is nosuchtest }}",
        "{{ lipsum() }}",
        "{{ nosuch() }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 'é'.encode('ascii') }}",
    ] {
        let source = format!("{{% if tools %}}{unreached}{{% endif %}}x");
        assert_eq!(render(&source).unwrap(), "x", "{source}");
        let source = source.replace("if tools", "if not tools");
        assert!(render(&source).is_err(), "{source}");
    }
    assert!(ChatTemplate::new("{% if a %}", "", "").is_err());
}

/// Namespaces may hold each other, and nothing is lost or endless.
#[test]
fn circles_end() {
    let source = "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}{% set a = namespace(x=ns) %}{{ a }}";
    let expected = "<Namespace {'x': [<Namespace {...}>]}><Namespace {'x': <Namespace {'x': [<Namespace {...}>]}>}>";
    assert_eq!(render(source).unwrap(), expected);
    let harmless = "{% set a = namespace() %}".to_owned()
        + &"{% set b = namespace() %}{% set a.x = b %}{% set a = b %}".repeat(1500);
    assert_eq!(render(&harmless).unwrap(), "");
}

#[test]
fn lazy_sequences_do_not_pile_up() {
    let slices = "{% set x = x[::1] %}".repeat(2000);
    assert_eq!(
        render(&format!(
            "{{% set x = range(5) %}}{slices}{{{{ x | length }}}}"
        ))
        .unwrap(),
        "5"
    );
}

/// Each of these would run for years, fill the memory or overflow the stack.
#[test]
fn bombs_are_defused() {
    let repeat = |text: &str, times: usize| text.repeat(times);
    let looped = |body: &str| {
        format!(
            "{{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}}{{% for i in range(1500) %}}{body}{{% endfor %}}"
        )
    };
    let sources = [
        looped("{% set ns.x = namespace(x=ns.x) %}") + "{{ ns }}",
        "{% set a = namespace() %}{% set first = a %}".to_owned()
            + &repeat(
                "{% set b = namespace() %}{% set a.x = b %}{% set a = b %}",
                200,
            )
            + "{{ first }}",
        "{% for a in range(1500) %}{% for b in range(1500) %}{% endfor %}{% endfor %}".to_owned(),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('aaaaaaaaaaaaaaaa') }}".to_owned(),
        "{% for x in [messages] recursive %}{{ loop([x]) }}{% endfor %}".to_owned(),
        looped("{% set ns.x = ns.x ~ ns.x %}"),
        looped("{% set ns.x = ns.x + ns.x %}"),
        looped("{% set ns.x = [ns.x, ns.x] %}"),
        looped("{% set ns.x = (ns.x, ns.x) %}"),
        looped("{% set ns.x = {'a': ns.x, 'b': ns.x} %}"),
        looped("{% set ns.x = [ns.x] %}"),
        looped("{% set ns.x = [1] + [ns.x] %}"),
        looped("{% set ns.x = ns.x | replace('a', ns.x) %}"),
        looped("{% set ns.x = ns.x.replace('a', ns.x) %}"),
        looped("{% set ns.x = ns.x | list | join(ns.x) %}"),
        looped("{% set ns.x = ns.x.join(ns.x | list) %}"),
        looped("{% set ns.x = ns.x | tojson %}"),
        looped("{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
        looped(&format!(
            "{{% set ns.x %}}{}{{% endset %}}{{{{ ns.x }}}}",
            repeat("y", 50_000)
        )),
        looped(&repeat("y", 50_000)),
        looped("{{ messages }}{{ messages }}"),
        format!("{{{{ 1{} }}}}", repeat("+1", 30_000)),
        format!("{{{{ x{} }}}}", repeat(".y", 30_000)),
        format!("{{{{ x{} }}}}", repeat("|trim", 10_000)),
        format!("{{{{ x{} }}}}", repeat(" if y", 10_000)),
        format!(
            "{}x{}",
            repeat("{{ (", 1) + &repeat("(", 20_000),
            repeat(")", 20_000)
        ),
        format!("{{{{ {}1 }}}}", repeat("not ", 20_000)),
        format!(
            "{{% if a %}}{}{{% endif %}}{{{{ x() }}}}",
            repeat("{% elif a %}", 200)
        ),
        format!("{{{{ 1{}+x() }}}}", repeat("+1", 490)),
        format!("{{{{ x{} }}}}", repeat(".y", 490)),
        format!("{{{{ x(){} }}}}", repeat("|trim", 490)),
        format!("{{{{ x(){} }}}}", repeat(" if 1", 490)),
        format!(
            "{}{{{{ x() }}}}{}",
            repeat("{% if true %}", 70),
            repeat("{% endif %}", 70)
        ),
        repeat("{% if a %}", 10_000),
        repeat("{% for a in b %}", 8_000),
        format!("{{{{ {}{} }}}}", repeat("[", 20_000), repeat("]", 20_000)),
        "{{ 'a' * 100000000 ~ 'a' * 100000000 }}".to_owned(),
        "{{ [[1]] * 100000000 }}".to_owned(),
        "{{ 9 ** 99999999999 }}".to_owned(),
        "{{ {'a': 1} | tojson(indent=1000000000) | length }}{{ 'x' | indent(1000000000) }}"
            .to_owned(),
        "{{ '%1000000000d' | format(1) }}".to_owned(),
        "{{ '{:>1000000000}'.format('x') }}".to_owned(),
        repeat("x", 1 << 18),
    ];
    // Without a namespace: each step doubles what the one before made, to a few megabytes.
    let doublings = [
        "x ~ x",
        "x + x",
        "[x, x]",
        "(x, x)",
        "{'a': x, 'b': x}",
        "dict(a=x, b=x)",
        "x | tojson",
    ];
    let doubled = doublings.map(|made| {
        let step = format!("{{% set x = {made} %}}");
        "{% set x = '\"\"\"\"\"\"\"\"' %}".to_owned() + &step.repeat(19) + "{{ x }}"
    });
    for source in sources.into_iter().chain(doubled) {
        let start: String = source.chars().take(120).collect();
        assert!(
            matches!(render(&source), Err(TextError::Template(_))),
            "rendered: {start}"
        );
    }
}

/// Operations over long operands are charged for them: without that, each of these ran for minutes.
#[test]
fn long_operands_cost_fuel() {
    let cases = [
        "'b' in x",
        "(x ~ 'b') in (x ~ 'c')",
        "x.count('ab')",
        "x.find('ab')",
        "x.replace('b', 'c')",
        "x.split('b')",
        "x.strip('b')",
        "x.startswith(x)",
        "x == (x ~ '')",
        "x < x ~ 'a'",
        "x[::-1]",
        "x | upper",
        "x | length",
        "x | list",
        "x | tojson",
        "x | trim",
        "x | int",
        "x | wordcount",
        "x | indent",
        "x.isalpha()",
        "x.isspace()",
        "x.splitlines()",
        "x % ()",
        "x.format()",
        "y | sort",
        "y | unique | list",
        "y | map('upper') | list",
        "y | join",
        "y | string",
        "'b' in y",
        "y.count('b')",
        "y.index('a')",
        "y == y[:-1] + ['b']",
        "y | groupby(0)",
        "dict(y | batch(2))",
        "y | select('in', y) | list",
        "z.q",
        "z == dict(z)",
        "{'a': z} | tojson(sort_keys=true)",
        "loop.changed(y)",
    ];
    for operation in cases {
        let source = format!(
            "{{% set x = 'a' * 120000 %}}{{% set y = ['a'] * 7000 %}}{{% set z = dict(range(3000) | batch(2)) %}}\
             {{% for i in range(2000) %}}{{% for j in range(40) %}}{{% set k = {operation} %}}{{% endfor %}}{{% endfor %}}"
        );
        let error = render(&source).unwrap_err().to_string();
        let bounds = ["too much text", "too large a value", "too long"];
        assert!(
            bounds.iter().any(|b| error.contains(b)),
            "{operation}: {error}"
        );
    }
}

/// Each piece is small, and what was written counts, too.
#[test]
fn output_has_a_limit() {
    let source = |times: usize| {
        let line = "y".repeat(1000);
        format!("{{% for i in range({times}) %}}{line}{{% endfor %}}")
    };
    assert_eq!(render(&source(140)).unwrap().len(), 140_000);
    let error = render(&source(150)).unwrap_err().to_string();
    assert!(error.contains("too large a value"), "{error}");
    let error = render(&source(1500)).unwrap_err().to_string();
    assert!(error.contains("too large a value"), "{error}");
}

#[test]
fn long_conversations_have_room() {
    let source = "{% set ns = namespace(out='') %}{% for m in messages %}\
        {% set content = m.content | trim %}{% set ns.out = ns.out + '<|' + m.role + '|>' + content %}\
        {% if loop.index == messages | length and messages[loop.index - 2].role == 'user' %}.{% endif %}\
        {% endfor %}{{ ns.out }}";
    let template = ChatTemplate::new(source, "", "").unwrap();
    let messages: Vec<_> = (0..60)
        .map(|_| message(Role::User, &"word ".repeat(400)))
        .collect();
    assert!(template.render(&messages, false).unwrap().len() > 120_000);
    let source = "{% for m in messages %}{{ m.content }}{% endfor %}";
    let template = ChatTemplate::new(source, "", "").unwrap();
    let big = [message(Role::User, &"word ".repeat(1 << 18))];
    assert_eq!(template.render(&big, false).unwrap().len(), 5 << 18);
}
