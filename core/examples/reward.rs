//! A reward of one's own in the refinement loop (TPO): answers are the better the nearer they come to forty words.
//! `cargo run --release -p periapt-core --example reward -- model.gguf "What is rent?"`

use periapt_core::decoding::Method;
use periapt_core::reward::{Response, Reward, RewardError};
use periapt_core::tpo::prompts::PromptSet;
use periapt_core::tpo::{Local, Options, Query, RunEvent, refine};
use periapt_core::{DeviceChoice, Session, device};
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;

/// The words that an answer should have.
struct Words(usize);

impl Reward for Words {
    fn name(&self) -> String {
        format!("words:{}", self.0)
    }

    async fn score(
        &mut self,
        _query: &str,
        _anchor: &str,
        responses: &[Response<'_>],
    ) -> Result<Vec<f64>, RewardError> {
        let one = |response: &Response<'_>| {
            -(response.text.split_whitespace().count().abs_diff(self.0) as f64)
        };
        Ok(responses.iter().map(one).collect())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(model), Some(question), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: reward MODEL.gguf QUESTION".into());
    };
    let device = pollster::block_on(device::open(DeviceChoice::Auto))?;
    let mut file = BufReader::new(File::open(model)?);
    let session = Session::load(&mut file, &device, &mut |_, _| ())?;

    let query = Query {
        question,
        ..Query::default()
    }
    .with_default_system();
    let generator = Local {
        session: &session,
        method: Method::Base,
        preference: None,
        batch: usize::MAX,
    };
    let prompts = PromptSet::for_size(session.decoder().parameters() as u64).into();
    let on_event = &mut async |event: RunEvent<'_>| {
        if let RunEvent::Token { text, .. } = event {
            eprint!("{text}");
        }
        ControlFlow::Continue(())
    };
    let outcome = pollster::block_on(refine(
        &query,
        &Options::default(),
        &prompts,
        &generator,
        &mut Words(40),
        Vec::new(),
        on_event,
    ))?;
    for round in &outcome.rounds {
        eprintln!("best reward after the round: {}", round.best_reward);
    }
    if let Some(best) = outcome.best {
        println!("{}", outcome.candidates[&best].text);
    }
    Ok(())
}
