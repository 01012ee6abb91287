//! What the loop's prompts are made of, and what they do without where the context is too short.

use super::budget::fit;
use super::prompts::{PromptName, PromptParts};
use super::*;

/// Texts that are found again in what is rendered.
fn parts() -> PromptParts {
    let text = |name: &str| format!("The {name} begins here. {} It ends.", "More. ".repeat(40));
    PromptParts {
        query: text("query"),
        preference: text("preference"),
        chosen: text("chosen"),
        rejected: text("rejected"),
        critique: text("critique"),
        feedback: text("feedback"),
    }
}

/// Which parts are in a prompt to their ends, and what it says it did without.
fn fitted(set: PromptSet, name: PromptName, context: usize) -> (Vec<&'static str>, Vec<String>) {
    let generator = Scripted { seed: 0, context };
    let parts = parts();
    let fitted = fit(&generator, &set.into(), name, &parts, 10, "").unwrap();
    let (system, user) = fitted.input;
    assert!((system.len() + user.len()) / 4 <= context - 10);
    let whole = [
        ("query", &parts.query),
        ("preference", &parts.preference),
        ("chosen", &parts.chosen),
        ("rejected", &parts.rejected),
        ("critique", &parts.critique),
        ("feedback", &parts.feedback),
    ];
    let there = whole.into_iter().filter(|(_, text)| user.contains(*text));
    let said = fitted.shortened.into_iter().map(|part| match part.to {
        0 => part.part,
        _ => format!("{} shorter", part.part),
    });
    (there.map(|(name, _)| name).collect(), said.collect())
}

#[test]
fn an_update_sees_all_there_is_and_leaves_out_the_rejected_response_first() {
    let all = [
        "query",
        "preference",
        "chosen",
        "rejected",
        "critique",
        "feedback",
    ];
    for set in [PromptSet::Full, PromptSet::Compact] {
        let at = |context| fitted(set, PromptName::Improve, context);
        let (there, said) = at(4000);
        assert_eq!((there.as_slice(), said.as_slice()), (&all[..], &[][..]));
        // Shorter and shorter contexts: which is left out, and in which order.
        let mut steps: Vec<Vec<String>> = Vec::new();
        for context in (300..900).rev() {
            let (there, said) = at(context);
            let is_whole = |part: &&str| {
                let shorter = format!("{part} shorter");
                !said.contains(&(*part).to_owned()) && !said.contains(&shorter)
            };
            let kept: Vec<&str> = all.into_iter().filter(is_whole).collect();
            assert_eq!(there, kept, "{context}: {said:?}");
            if steps.last() != Some(&said) {
                steps.push(said);
            }
        }
        assert_eq!(steps[0], Vec::<String>::new());
        assert_eq!(steps[1], ["rejected"]);
        assert_eq!(steps[2], ["rejected", "critique"]);
        assert!(steps[3].iter().any(|said| said.ends_with(" shorter")));
        assert_eq!(steps[3][..2], ["rejected", "critique"]);
    }
}

#[test]
fn what_a_template_does_not_use_is_not_said_to_be_left_out() {
    let mut prompts = Prompts::from(PromptSet::Compact);
    let template = "Improve.\n---\n{{ query }} {{ chosen }}".to_owned();
    prompts.replace(PromptName::Improve, template).unwrap();
    let generator = Scripted {
        seed: 0,
        context: 100,
    };
    let fitted = fit(&generator, &prompts, PromptName::Improve, &parts(), 10, "").unwrap();
    let parts: Vec<String> = fitted.shortened.into_iter().map(|p| p.part).collect();
    assert!(!parts.is_empty());
    assert!(
        parts.iter().all(|part| part == "chosen" || part == "query"),
        "{parts:?}"
    );
}

#[test]
fn critiques_have_a_limit_of_their_own() {
    use std::cell::Cell;
    /// Notes the limits that it is given.
    struct Limits(Scripted, Cell<(usize, usize)>);
    impl Generator for Limits {
        fn context(&self) -> usize {
            self.0.context()
        }
        fn count(&self, conversation: &Conversation, prefix: &str) -> Result<usize, Error> {
            self.0.count(conversation, prefix)
        }
        async fn write(
            &self,
            request: &WriteRequest,
            on_event: &mut impl AsyncFnMut(WriteEvent<'_>) -> ControlFlow<()>,
        ) -> Result<Vec<Draft>, Error> {
            let (mut responses, mut texts) = self.1.get();
            match request.aligned {
                true => responses = request.max_new_tokens,
                false => texts = request.max_new_tokens,
            }
            self.1.set((responses, texts));
            self.0.write(request, on_event).await
        }
    }
    let mut case = Case::new(Mode::Tpo, 2, 1, 1);
    (case.options.max_new_tokens, case.options.max_text_tokens) = (31, 77);
    let generator = Limits(case.generator, Cell::new((0, 0)));
    let mut lines = Vec::new();
    let mut listen = async |event: RunEvent<'_>| {
        if let RunEvent::Line { line, .. } = event {
            lines.push(line.clone());
        }
        ControlFlow::Continue(())
    };
    let (query, prompts) = (Query::default(), Prompts::from(PromptSet::Compact));
    let run = refine(
        &query,
        &case.options,
        &prompts,
        &generator,
        &mut case.reward,
        Vec::new(),
        &mut listen,
    );
    pollster::block_on(run).unwrap();
    assert_eq!(generator.1.get(), (31, 77));
    let ends: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            RecordLine::Text { finish_reason, .. } => Some(*finish_reason),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [Some(FinishReason::Stop); 2]);
}
