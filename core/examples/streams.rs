//! A decoding method of one's own: any number of prompts, whose logits are summed with weights at every token. This one leans
//! towards one wish, away from another, and a little towards a whole system prompt.
//! `cargo run --release -p periapt-core --example streams -- model.gguf "Why is the sky blue?"`

use periapt_core::decoding::streams::{Stream, StreamPreference, preference_streams};
use periapt_core::decoding::{Conversation, Method, PromptSet, Sampling};
use periapt_core::session::{Event, GenerateRequest};
use periapt_core::{DeviceChoice, Session, device};
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(model), Some(question), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: streams MODEL.gguf QUESTION".into());
    };
    let device = pollster::block_on(device::open(DeviceChoice::Auto))?;
    let mut file = BufReader::new(File::open(model)?);
    let session = Session::load(&mut file, &device, &mut |_, _| ())?;

    let weighted = [("uplifting", 1.5), ("formal", -0.75)];
    let mut streams = preference_streams(PromptSet::default(), &weighted);
    // What it gets, the first stream gives, the plain prompt: all weights together stay 1.
    streams[0].weight -= 0.5;
    streams.push(Stream {
        name: "sailor".to_owned(),
        system: Some("You are an old sailor.".to_owned()),
        preference: StreamPreference::None,
        weight: 0.5,
        model: 0,
    });
    let request = GenerateRequest {
        conversations: vec![Conversation {
            question,
            ..Conversation::default()
        }],
        method: Method::Guidance(streams),
        // No token that the first prompt, the plain one, finds implausible.
        sampling: Sampling {
            plausibility: 0.1,
            ..Sampling::default()
        },
        ..GenerateRequest::default()
    };
    let on_event = &mut async |_: Event<'_>| ControlFlow::Continue(());
    let answers = pollster::block_on(session.generate(&request, on_event))?;
    println!("{}", answers[0].text);
    Ok(())
}
