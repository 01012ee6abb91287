//! A chat in the terminal, answered the way that a preference says:
//! `cargo run --release -p periapt-core --example chat -- model.gguf "Answer like a patient teacher."`

use periapt_core::decoding::{Conversation, Method, PromptSet, Sampling};
use periapt_core::session::{Event, GenerateRequest};
use periapt_core::text::{Message, Role};
use periapt_core::{DeviceChoice, Session, device};
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Write, stdin, stdout};
use std::ops::ControlFlow;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(model), Some(preference), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: chat MODEL.gguf PREFERENCE".into());
    };
    let device = pollster::block_on(device::open(DeviceChoice::Auto))?;
    let mut file = BufReader::new(File::open(model)?);
    let session = Session::load(&mut file, &device, &mut |_, _| ())?;
    let preference = PromptSet::default().instruction(&preference);

    let mut earlier = Vec::new();
    for question in stdin().lines() {
        let question = question?;
        let request = GenerateRequest {
            conversations: vec![Conversation {
                preference: Some(preference.clone()),
                earlier: earlier.clone(),
                question: question.clone(),
                ..Conversation::default()
            }],
            method: Method::LinearAlignment { strength: 2.0 },
            sampling: Sampling {
                plausibility: 0.1,
                ..Sampling::default()
            },
            ..GenerateRequest::default()
        };
        let mut written = Ok(());
        let on_event = &mut async |event: Event<'_>| {
            if let Event::Token { text, .. } = event {
                written = write!(stdout(), "{text}").and_then(|()| stdout().flush());
            }
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        };
        let answers = pollster::block_on(session.generate(&request, on_event))?;
        written?;
        println!();
        for (role, content) in [
            (Role::User, question),
            (Role::Assistant, answers[0].text.clone()),
        ] {
            earlier.push(Message { role, content });
        }
    }
    Ok(())
}
