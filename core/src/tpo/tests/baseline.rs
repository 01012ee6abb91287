//! Best-of-N beside a run: at equal generations and at equal tokens, and records of earlier versions.

use super::*;

/// A best-of-N until it has made so many generations and tokens.
fn bon(n: usize, seed: u64, generations: usize, tokens: usize) -> Case {
    let mut case = Case::new(Mode::Bon, n, 0, seed);
    case.options.budget = Some(Budget {
        generations,
        tokens,
    });
    case
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_draws_until_its_budget_is_spent_and_is_the_same_taken_up(n in 1usize..5, seed in any::<u64>(), generations in 1usize..20, tokens in 0usize..2000) {
        let case = || bon(n, seed, generations, tokens);
        let Ok((whole, lines)) = case().run(&[], usize::MAX) else { return Ok(()) };
        let last_round = whole.spent.len() - n;
        let before = (last_round, whole.spent[..last_round].iter().sum::<usize>());
        // No round too few, and none too many.
        let most = 8 * generations;
        let is_enough = |(made, spent): (usize, usize)| (made >= generations && spent >= tokens) || made >= most;
        prop_assert!(is_enough((whole.spent.len(), whole.spent.iter().sum())));
        prop_assert!(last_round == 0 || !is_enough(before));
        prop_assert_eq!(whole.spent.iter().sum::<usize>(), whole.tokens);
        prop_assert_eq!(whole.generations, whole.spent.len());
        for at in 0..=lines.len() {
            let (again, all) = case().run(&lines[..at], usize::MAX).unwrap();
            prop_assert_eq!(&all, &lines, "from line {} on", at);
            prop_assert_eq!(&again, &whole);
        }
    }

    #[test]
    fn it_begins_as_the_run_did_and_each_comparison_is_one_of_its_beginnings(n in 1usize..5, d in 1usize..3, seed in any::<u64>()) {
        let mut run_case = Case::new(Mode::Tpo, n, d, seed);
        let Ok((run, _)) = run_case.run(&[], usize::MAX) else { return Ok(()) };
        let mut case = Case::new(Mode::Tpo, n, d, seed);
        let generations = case.options.generations();
        case.options = case.options.baseline(run.tokens);
        let (baseline, _) = case.run(&[], usize::MAX).unwrap();
        for (number, candidate) in baseline.candidates.range(..n) {
            prop_assert_eq!(&candidate.text, &run.candidates[number].text);
        }
        let Some(compared) = Comparison::new(&run, &baseline, generations) else { return Ok(()) };
        prop_assert_eq!(compared.generations.n, generations);
        for best in [compared.generations, compared.tokens] {
            let rewards = baseline.rewards.range(..best.n);
            prop_assert_eq!(best.reward, rewards.map(|(_, reward)| *reward).fold(f64::MIN, f64::max));
            prop_assert_eq!(best.tokens, baseline.spent[..best.n].iter().sum::<usize>());
            prop_assert!(best.best < best.n && baseline.rewards[&best.best] == best.reward);
        }
        let n = compared.tokens.n;
        if n < baseline.spent.len() {
            prop_assert!(compared.tokens.tokens >= run.tokens);
        }
        prop_assert!(baseline.spent[..n - 1].iter().sum::<usize>() < run.tokens);
    }
}

/// A line as earlier versions wrote it: texts without their ends, and one limit for all.
fn of_earlier(line: &RecordLine) -> serde_json::Value {
    let mut value = serde_json::to_value(line).unwrap();
    match line {
        RecordLine::Text { .. } => {
            assert!(
                value
                    .as_object_mut()
                    .unwrap()
                    .remove("finish_reason")
                    .is_some()
            );
        }
        RecordLine::Run { .. } => {
            let options = value["options"].as_object_mut().unwrap();
            assert!(options.remove("max_text_tokens").is_some());
        }
        _ => {}
    }
    value
}

#[test]
fn an_earlier_versions_record_is_read_and_goes_on() {
    let case = || {
        let mut case = Case::new(Mode::Tpo, 3, 2, 5);
        case.options.max_text_tokens = case.options.max_new_tokens;
        case
    };
    let (whole, lines) = case().run(&[], usize::MAX).unwrap();
    for at in 1..=lines.len() {
        let earlier = lines[..at].iter().map(of_earlier);
        let earlier: Vec<RecordLine> = earlier
            .map(|line| serde_json::from_value(line).unwrap())
            .collect();
        let (outcome, _) = case().run(&earlier, usize::MAX).unwrap();
        assert_eq!(outcome.rewards, whole.rewards, "from line {at} on");
        assert_eq!(outcome.best, whole.best);
    }
    // With another limit of its texts it is another run.
    let mut other = case();
    other.options.max_text_tokens += 1;
    let first: RecordLine = serde_json::from_value(of_earlier(&lines[0])).unwrap();
    assert!(matches!(
        other.run(&[first], usize::MAX),
        Err(Error::OtherRun(_))
    ));
}

#[test]
fn without_a_wish_first_responses_have_the_papers_system_prompt() {
    let query = |system: Option<&str>, preference: Option<&str>| {
        Query {
            question: "Why?".to_owned(),
            system: system.map(str::to_owned),
            preference: preference.map(str::to_owned),
            ..Query::default()
        }
        .with_default_system()
        .system
    };
    assert_eq!(
        query(None, None).as_deref(),
        Some("You are a helpful, creative, and smart assistant.")
    );
    assert_eq!(query(Some(""), None).as_deref(), Some(""));
    assert_eq!(query(Some("Be kind."), None).as_deref(), Some("Be kind."));
    assert_eq!(query(None, Some("concise")), None);
}
