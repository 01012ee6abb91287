// The page's renderer under hostile model output: its own source (www/src/markdown.ts), in a bare page without a
// content security policy, so that nothing but the renderer itself stands in the way.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { launch } from "./browser.mjs";
import { bundle } from "../page/bundle.mjs";
import { random } from "../page/damage.mjs";

/** What an attacker writes; BEACON is an address that must never be asked for, and hit() must never run. */
const PARTS = {
  scripts: [
    "<script>hit()</script>",
    "<script src=BEACON></script>",
    "<scr<script>ipt>hit()</scr</script>ipt>",
    "<SCRIPT>hit()</SCRIPT >",
    "<svg><script>hit()</script></svg>",
    "<script type=module>import('BEACON')</script>",
    "```html\n<script>hit()</script>\n```\n</code></pre><script>hit()</script>",
    "`</code><script>hit()</script>`",
  ],
  handlers: [
    "<img src=x onerror=hit()>",
    "<svg onload=hit()>",
    "<body onload=hit()>",
    "<details open ontoggle=hit()>x</details>",
    "<input autofocus onfocus=hit()>",
    "<video><source onerror=hit()></video>",
    "<a href='#' onmouseover=hit()>x</a>",
    "<div style='animation: x 1s' onanimationstart=hit()>x</div>",
    "<math><mtext><table><mglyph><style><img src=x onerror=hit()>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=hit()>",
    "<noscript><p title='</noscript><img src=x onerror=hit()>'>",
    "<p title=\"--><img src=x onerror=hit()>\">",
    "[x](https://a.example \"' onmouseover='hit()\")",
  ],
  links: [
    "[click](javascript:hit())",
    "[click](JaVaScRiPt:hit())",
    "[click](java&#x09;script:hit())",
    "[click](&#106;avascript:hit())",
    "[click]( javascript:hit())",
    "[click](data:text/html,<script>hit()</script>)",
    "[click](vbscript:hit())",
    "[click](blob:https://a.example/x)",
    "[click](file:///etc/passwd)",
    "<javascript:hit()>",
    "<a href=javascript:hit()>click</a>",
    "<a href=' javascript:hit()' target=_self>click</a>",
    "[r]: javascript:hit()\n\n[click][r]",
    "[![click](BEACON)](javascript:hit())",
    "<area href=javascript:hit()>",
    "<form action=javascript:hit()><button>click</button></form>",
    "<button formaction=javascript:hit()>click</button>",
    "<math href=javascript:hit()>click</math>",
    "<svg><a xlink:href=javascript:hit()><text>click</text></a></svg>",
  ],
  beacons: [
    "![pixel](BEACON)",
    "![pixel][r]\n\n[r]: BEACON",
    "<img src=BEACON>",
    "<img srcset='BEACON 1x'>",
    "<picture><source srcset=BEACON><img></picture>",
    "<link rel=stylesheet href=BEACON>",
    "<style>@import url(BEACON);</style>",
    "<style>* { background: url(BEACON) }</style>",
    "<p style='background: url(BEACON)'>x</p>",
    "<iframe src=BEACON></iframe>",
    "<iframe srcdoc='<img src=BEACON>'></iframe>",
    "<object data=BEACON></object>",
    "<embed src=BEACON>",
    "<video poster=BEACON></video>",
    "<audio src=BEACON autoplay></audio>",
    "<base href=BEACON>",
    "<meta http-equiv=refresh content='0;url=BEACON'>",
    "<link rel=prefetch href=BEACON>",
    "<svg><image href=BEACON /></svg>",
    "<svg><use href='BEACON#x' /></svg>",
    "<table background=BEACON><tr><td>x</td></tr></table>",
    "<input type=image src=BEACON>",
    "<a href=https://a.example ping=BEACON>click</a>",
  ],
  formulas: [
    "$\\href{javascript:hit()}{click}$",
    "$\\url{javascript:hit()}$ and $\\includegraphics{BEACON}$",
    "$\\htmlData{x=BEACON}{y}$ $\\htmlStyle{background: url(BEACON)}{y}$ $\\htmlClass{x}{y}$",
    "$$\\text{<img src=x onerror=hit()>}$$",
    "$\\def\\a{\\a\\a}\\a$",
    "$</math><img src=x onerror=hit()>$",
    "$\\frac{1}{2} \\sqrt{x} \\begin{matrix}a & b\\end{matrix}$",
    "```html\n<img src=x onerror=hit()>\n</code></pre><img src=x onerror=hit()>\n```",
    "```js' onmouseover='hit()\nlet x = '<svg onload=hit()>';\n```",
  ],
  broken: [
    "**bold *both ***",
    "[text](",
    "[text](https://a.example \"title",
    "![",
    "```\nnever closed <img src=x onerror=hit()>",
    "| a | b |\n|---|\n| <img src=x onerror=hit()> | ",
    "> > > - 1. # x\n\n\t\t<svg onload=hit()>",
    `${"[".repeat(500)}x${"](y)".repeat(500)}`,
    "*".repeat(2000),
    `${"> ".repeat(300)}deep`,
    "&lt;script&gt;hit()&lt;/script&gt;",
    "\u0000<img src=x onerror=hit()>\u0000",
    "<\u200bscript>hit()</script>",
    "\ufeff<img src=x\u2028onerror=hit()>",
    "<!-- --!><img src=x onerror=hit()> -->",
    "<![CDATA[<img src=x onerror=hit()>]]>",
    "<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>hit()</x:script>",
    "</div></body></html><script>hit()</script>",
    "<plaintext><img src=x onerror=hit()>",
    "<xmp><img src=x onerror=hit()></xmp>",
    "<template><img src=x onerror=hit()></template>",
    "<title><img src=x onerror=hit()></title>",
    "<textarea><img src=x onerror=hit()></textarea>",
    "<div id=app name=body>clobbered</div><form name=getElementById></form>",
    "<dialog open><form method=dialog><button>click</button></form></dialog>",
    "<slot name=x></slot><custom-element onclick=hit()>click</custom-element>",
    "- <img src=x onerror=hit()>\n  1. <svg/onload=hit()>\n",
    "# <img src=x onerror=hit()>\n## [x](javascript:hit())",
    "Text with <b onclick=hit()>click</b> and <i/onmouseover=hit()>click</i>",
    "&#60;img src=x onerror=hit()&#62;",
    "\\<img src=x onerror=hit()\\>",
    "<a href=\"https://a.example\"><img src=x onerror=hit()></a>",
    "a&#x0;b<img/src=x/onerror=hit()>",
    "<img src=x:x onerror&#x3d;hit()>",
    "<<img src=x onerror=hit()>>",
    "[<img src=x onerror=hit()>](https://a.example)",
    "<img src='x' onerror='hit()' alt='`'>`",
  ],
};

describe("hostile output", { timeout: 600_000 }, () => {
  let browser;
  let server;
  let origin;
  const asked = [];
  const own = (url) => /\/(markdown|code|formula|chunk)[\w-]*\.js$/.test(url);

  before(async () => {
    // With what it fetches for code and formulas.
    const chunks = await bundle("src/markdown.ts");
    const served = new Map(chunks.map(({ fileName, code, isEntry }) => [isEntry ? "/markdown.js" : `/${fileName}`, code]));
    server = createServer((request, response) => {
      asked.push(request.url);
      // With the page's own rule for scripts, and no other: see request.test.mjs for the whole policy.
      if (request.url === "/trusted") response.setHeader("content-security-policy", "require-trusted-types-for 'script'; trusted-types dompurify");
      if (request.url === "/" || request.url === "/trusted") response.setHeader("content-type", "text/html").end("<!doctype html><title>bare</title><div id=text></div>");
      else if (served.has(request.url)) response.setHeader("content-type", "text/javascript").end(served.get(request.url));
      else response.writeHead(404).end();
    });
    await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
    origin = `http://127.0.0.1:${server.address().port}`;
    browser = await launch({ webgpu: false });
  });

  after(async () => {
    await browser?.close();
    server?.close();
  });

  /** Streams `texts` through the renderer at random splits; gives what is left of each, and what ran. */
  async function stream(render, parts) {
    const texts = parts.map((text) => text.replaceAll("BEACON", `${origin}/beacon`));
    const page = await (await browser.newContext()).newPage();
    const next = random(5);
    const pieces = texts.map((text) => {
      const lengths = [];
      for (let at = 0; at < text.length; at += lengths.at(-1)) lengths.push(1 + Math.floor(next() * Math.max(4, text.length / 8)));
      return { text: `Sure! ${text}\n\nAnything else?`, lengths };
    });
    const outside = [];
    page.on("request", (request) => outside.push(request.url()));
    page.on("dialog", (dialog) => dialog.dismiss());
    await page.goto(origin);
    outside.length = 0;
    asked.length = 0;
    const results = await page.evaluate(
      async ([pieces, render]) => {
        const { renderMarkdown } = await import("/markdown.js");
        const hits = [];
        const element = document.getElementById("text");
        // Colours and formulas are there before what is hostile comes.
        for (let turn = 0; render === "safe" && turn < 200 && !element.querySelector(".hljs-keyword, math"); turn++) {
          renderMarkdown(element, "$x$\n\n```js\nlet x;\n```");
          await new Promise((turn) => setTimeout(turn, 50));
        }
        const put = render === "safe" ? renderMarkdown : (element, text) => (element.innerHTML = text);
        const results = [];
        for (const { text, lengths } of pieces) {
          globalThis.hit = () => hits.push(text);
          let at = 0;
          for (const length of [...lengths, text.length]) {
            at = Math.min(text.length, at + length);
            put(element, text.slice(0, at));
          }
          for (const link of element.querySelectorAll("a, button, area")) {
            link.addEventListener("click", (event) => /^https?:/.test(link.href ?? "") && event.preventDefault());
            link.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
            link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
          }
          await new Promise((turn) => setTimeout(turn, 5));
          const all = [...element.querySelectorAll("*")];
          results.push({
            text,
            shown: element.textContent,
            tags: [...new Set(all.map((node) => node.localName))],
            attributes: all.flatMap((node) => [...node.attributes].map(({ name, value }) => `${name}=${value}`)),
          });
        }
        await new Promise((turn) => setTimeout(turn, 300));
        return { results, hits };
      },
      [pieces, render],
    );
    await page.context().close();
    return { ...results, outside: outside.filter((url) => !own(url)) };
  }

  test("nothing runs, nothing is asked for, nothing but text and its marks is left", async () => {
    const all = Object.values(PARTS).flat();
    assert.ok(all.length >= 100, `${all.length} texts`);
    const { results, hits, outside } = await stream("safe", all);
    assert.deepEqual(hits, []);
    assert.deepEqual(outside, []);
    assert.deepEqual(asked.filter((path) => path.includes("beacon")), []);
    const allowed = new Set(
      ("a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre span strong table tbody td th thead tr ul " +
        "math mfrac mi mn mo mrow ms mspace msqrt mstyle msub msup msubsup mtable mtd mtext mtr mpadded semantics").split(" "),
    );
    for (const { text, shown, tags, attributes } of results) {
      assert.deepEqual(tags.filter((tag) => !allowed.has(tag)), [], text);
      for (const attribute of attributes) {
        assert.match(
          attribute,
          /^(href=https?:\/\/|rel=|target=_blank$|start=|role=heading$|aria-level=|class=hljs-|display=block$|(mathvariant|stretchy|fence|separator|accent|linethickness)=[\w.]+$)/,
          `${text}: ${attribute}`,
        );
      }
      assert.ok(shown.startsWith("Sure!"), `${text} is gone: ${shown}`);
    }
  });

  test("the comparison finds what a plain renderer would let through", async () => {
    const { hits, outside } = await stream("plain", [...PARTS.handlers, "<img src=BEACON>"]);
    assert.ok(hits.length > 5, `${hits.length} ran`);
    assert.ok(outside.some((url) => url.includes("beacon")));
  });

  test("ordinary Markdown stays what it is", async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(origin);
    const html = await page.evaluate(async () => {
      const { renderMarkdown } = await import("/markdown.js");
      const element = document.getElementById("text");
      renderMarkdown(element, "# Title\n\nSome *text*, **bold**, `code`.\n\n3. three\n4. four\n\n[a](https://a.example)\n\n```\na < b\n```\n\n| x |\n|---|\n| 1 |");
      return element.innerHTML;
    });
    for (const part of ["<em>text</em>", "<strong>bold</strong>", "<code>code</code>", '<ol start="3">', 'href="https://a.example"', "a &lt; b", "<td>1</td>", 'rel="noopener noreferrer nofollow"']) {
      assert.ok(html.includes(part), `${part} is missing in ${html}`);
    }
    await page.context().close();
  });

  // Reports of Markdown that took a page down:
  //   https://github.com/markedjs/marked/issues/1462                 quotes in quotes overflow the stack
  //   https://github.com/markedjs/marked/issues/1471                 lists in lists do, after 40 s
  //   https://github.com/kirodotdev/KiroCrew/pull/8916               50,000 quote marks in a chat message
  //   https://github.com/MCPJam/inspector/pull/4381                  the same, and text that is too long
  //   https://github.com/ubugeeei-prod/ox-content/pull/1211          every way of nesting, not quotes alone
  //   https://github.com/gjtorikian/commonmarker/issues/147          nested quotes
  test("what is too deep or too much for the renderer is shown as it stands", async () => {
    const deep = {
      lists: (n) => `${"- ".repeat(n)}a`,
      "ordered lists": (n) => `${"1. ".repeat(n)}a`,
      quotes: (n) => `${"> ".repeat(n)}a`,
      "quotes without spaces": (n) => `${">".repeat(n)}a`,
      "quotes and lists": (n) => `${"> - ".repeat(n)}a`,
      "a staircase": (n) => Array.from({ length: Math.min(n, 150) }, (_, at) => `${" ".repeat(2 * at)}- a`).join("\n"),
      brackets: (n) => "[".repeat(n),
      links: (n) => `${"[".repeat(n)}x${"](y)".repeat(n)}`,
      images: (n) => "![".repeat(n),
      emphasis: (n) => `${"*a **b ".repeat(n)}`,
      "emphasis on both sides": (n) => `${"*".repeat(n)}a${"*".repeat(n)}`,
      mixed: (n) => `${"*_".repeat(n)}a${"_*".repeat(n)}`,
      struck: (n) => "~~a ".repeat(n),
      ticks: (n) => "\`a".repeat(n),
      "a wide table": (n) => `|${"a|".repeat(n)}\n|${"-|".repeat(n)}\n|${"b|".repeat(n)}`,
      "a long table": (n) => `|a|b|\n|-|-|\n${"|c|d|\n".repeat(n)}`,
      "a large table": (n) => `|${"a|".repeat(300)}\n|${"-|".repeat(300)}\n${`|${"b|".repeat(300)}\n`.repeat(n / 10)}`,
      pipes: (n) => "|".repeat(n),
      tags: (n) => "<div>".repeat(n),
      addresses: (n) => `${"a.".repeat(n)}@`,
      references: (n) => "[a]: b\n".repeat(n),
      escapes: (n) => "\\".repeat(n),
      blanks: (n) => `a${" ".repeat(n)}b${"\n".repeat(n)}c`,
    };
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(300_000);
    await page.goto(origin);
    const all = Object.entries(deep).flatMap(([name, of]) => [50, 1187, 1500, 6000, 40_000].map((n) => ({ what: `${name}, ${n}`, text: of(n) })));
    const results = await page.evaluate(async (all) => {
      const { renderMarkdown } = await import("/markdown.js");
      const element = document.getElementById("text");
      return all.map(({ what, text }) => {
        const whole = `Sure!\n\n${text}\n\nDone.`;
        try {
          renderMarkdown(element, whole);
          const isPlain = element.hasAttribute("data-plain");
          return { what, isPlain, isWhole: isPlain ? element.textContent === whole : /Sure!/.test(element.textContent), tags: element.querySelectorAll("*").length };
        } catch (error) {
          return { what, error: String(error) };
        }
      });
    }, all);
    assert.deepEqual(results.filter(({ error, isWhole }) => error || !isWhole), []);
    for (const { what, isPlain, tags } of results) assert.equal(isPlain, tags === 0, what);
    const plain = results.filter(({ isPlain }) => isPlain).map(({ what }) => what);
    assert.ok(plain.includes("lists, 40000") && plain.includes("quotes, 40000") && plain.includes("a large table, 40000"), String(plain));
    assert.ok(!plain.some((what) => what.endsWith(", 50")), String(plain));
    // The next text is rendered again.
    const next = await page.evaluate(async () => {
      const { renderMarkdown } = await import("/markdown.js");
      const element = document.getElementById("text");
      renderMarkdown(element, "*a*");
      return [element.innerHTML.trim(), element.hasAttribute("data-plain")];
    });
    assert.deepEqual(next, ["<p><em>a</em></p>", false]);
    await page.context().close();
  });

  test("under Trusted Types it renders the same, and nobody else writes HTML", async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${origin}/trusted`);
    const { html, attempts } = await page.evaluate(async () => {
      const { renderMarkdown } = await import("/markdown.js");
      const element = document.getElementById("text");
      renderMarkdown(element, "**bold** <img src=x onerror=hit()> [a](https://a.example)");
      const script = document.createElement("script");
      const tries = {
        innerHTML: () => (element.innerHTML = "<b>x</b>"),
        outerHTML: () => (element.outerHTML = "<b>x</b>"),
        adjacent: () => element.insertAdjacentHTML("beforeend", "<b>x</b>"),
        write: () => document.write("<b>x</b>"),
        parse: () => new DOMParser().parseFromString("<b>x</b>", "text/html"),
        fragment: () => document.createRange().createContextualFragment("<b>x</b>"),
        srcdoc: () => (document.createElement("iframe").srcdoc = "<b>x</b>"),
        script: () => (script.text = "hit()"),
        src: () => (script.src = "/markdown.js"),
        worker: () => new Worker("/markdown.js"),
        policy: () => trustedTypes.createPolicy("mine", { createHTML: (text) => text }),
        default: () => trustedTypes.createPolicy("default", { createHTML: (text) => text }),
        again: () => trustedTypes.createPolicy("dompurify", { createHTML: (text) => text }),
      };
      const attempts = Object.entries(tries).map(([name, attempt]) => {
        try {
          attempt();
          return [name, "done"];
        } catch (error) {
          return [name, error.name];
        }
      });
      return { html: element.innerHTML, attempts };
    });
    assert.match(html, /^<p><strong>bold<\/strong> &lt;img/);
    assert.deepEqual(attempts.filter(([, outcome]) => outcome !== "TypeError"), []);
    await page.context().close();
  });
});
