//! The fold: whatever stood in a record is known from it, and a run goes on from any of its lines to the same end.

use super::*;

/// What a line is, and of which round.
fn kind(line: &RecordLine) -> (&'static str, usize) {
    match line {
        RecordLine::Run { .. } => ("run", 0),
        RecordLine::Candidate(Candidate { round, .. }) | RecordLine::Dropped { round, .. } => {
            ("response", *round)
        }
        RecordLine::Scores { round, .. } => ("scores", *round),
        RecordLine::Text { round, prompt, .. } => match prompt {
            PromptName::Feedback => ("gradient", *round),
            _ => ("loss", *round),
        },
        RecordLine::Update { round, .. } => ("update", *round),
        RecordLine::End { .. } => ("end", 0),
    }
}

/// What comes after these lines; none of them is refused.
fn fold(options: &Options, lines: &[RecordLine]) -> State {
    let mut state = State::new(options);
    for line in lines {
        assert_eq!(state.apply(line), Ok(()));
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn from_every_line_on_it_comes_to_the_same_end(mode in modes(), n in 1usize..5, d in 0usize..3, seed in any::<u64>(), fails: bool) {
        let case = || {
            let mut case = Case::new(mode, n, d, seed);
            case.reward.fails = fails;
            case
        };
        let Ok((whole, lines)) = case().run(&[], usize::MAX) else { return Ok(()) };
        for at in 0..=lines.len() {
            let (again, all) = case().run(&lines[..at], usize::MAX).unwrap();
            prop_assert_eq!(&all, &lines, "from line {} on", at);
            prop_assert_eq!(&again, &whole);
        }
        let state = fold(&case().options, &lines);
        prop_assert_eq!(state.next_action(), Action::Done);
        prop_assert_eq!(state.outcome(), &whole);
    }

    #[test]
    fn the_fold_of_what_was_told_is_the_runs_own_state(mode in modes(), n in 1usize..5, d in 0usize..3, seed in any::<u64>()) {
        let mut case = Case::new(mode, n, d, seed);
        let mut folded = State::new(&case.options);
        let mut listen = async |event: RunEvent<'_>| {
            if let RunEvent::Line { line, state } = event {
                assert_eq!(folded.apply(line), Ok(()));
                assert_eq!(&folded, state);
            }
            ControlFlow::Continue(())
        };
        let (query, prompts) = (Query::default(), Prompts::from(PromptSet::Compact));
        let run = refine(&query, &case.options, &prompts, &case.generator, &mut case.reward, Vec::new(), &mut listen);
        if let Ok(outcome) = pollster::block_on(run) {
            prop_assert_eq!(folded.outcome(), &outcome);
        }
    }

    #[test]
    fn a_line_out_of_order_is_refused(mode in modes(), n in 1usize..5, d in 0usize..3, seed in any::<u64>()) {
        let mut case = Case::new(mode, n, d, seed);
        let Ok((_, lines)) = case.run(&[], usize::MAX) else { return Ok(()) };
        for (at, next) in lines.iter().enumerate() {
            let state = fold(&case.options, &lines[..at]);
            let action = match state.next_action() {
                Action::Begin => ("run", 0),
                Action::Respond(_) => ("response", state.round()),
                Action::Score => ("scores", state.round()),
                Action::Write(PromptName::Feedback) => ("gradient", state.round()),
                Action::Write(_) => ("loss", state.round()),
                Action::Update => ("update", state.round()),
                Action::End => ("end", 0),
                Action::Done => ("nothing", 0),
            };
            prop_assert_eq!(action, kind(next), "line {}", at);
            for other in lines.iter().filter(|line| kind(line) != action) {
                // Behind a round's responses one of them may be said to have no reward.
                let is_unscored = matches!((action, other), (("scores", of), RecordLine::Dropped { round, .. }) if *round == of);
                prop_assert_eq!(state.clone().apply(other).is_ok(), is_unscored, "line {}: {:?}", at, other);
            }
        }
    }
}

#[test]
fn a_loss_by_the_other_prompt_is_another_runs() {
    let (_, mut lines) = Case::new(Mode::Revision, 2, 1, 1)
        .run(&[], usize::MAX)
        .unwrap();
    let loss = lines.iter_mut().find_map(|line| match line {
        RecordLine::Text { prompt, .. } => Some(prompt),
        _ => None,
    });
    *loss.unwrap() = PromptName::Compare;
    // It is a record, and can be read as one.
    fold(&Case::new(Mode::Revision, 2, 1, 1).options, &lines);
    let taken_up = Case::new(Mode::Revision, 2, 1, 1).run(&lines, usize::MAX);
    assert!(matches!(taken_up, Err(Error::OtherRun(_))));
}
