//! `periapt logits`.

use super::args::LogitsArgs;
use super::{input, load, notes, print_json};
use crate::terminal;
use periapt_core::model::KvType;
use periapt_core::text::{Message, Role};
use serde_json::json;
use std::io::Write;

pub fn run(args: &LogitsArgs) -> anyhow::Result<()> {
    let given = &args.input;
    let text = match (&given.prompt, &given.chat) {
        (Some(text), _) => Some(input::prompt(text)?),
        (_, Some(text)) => Some(input::question(text)?),
        (None, None) => None,
    };
    let mut session = load(&args.model)?.session;
    session.kv = args.model.load.kv.map_or(KvType::F32, KvType::from);
    let ids = match (text, &given.ids) {
        (Some(text), _) if given.chat.is_some() => {
            let system = args.system.iter().map(|content| Message {
                role: Role::System,
                content: input::typed(content),
            });
            if args.system.is_some() {
                notes::of_session(&session);
            }
            let user = Message {
                role: Role::User,
                content: text,
            };
            session.encode_chat(&system.chain([user]).collect::<Vec<_>>())?
        }
        (Some(text), _) => session.encode_text(&text)?,
        (None, ids) => ids.clone().unwrap_or_default(),
    };
    let logits = pollster::block_on(session.next_logits(&ids))?;

    // A row without a token has none.
    let mut order: Vec<usize> = (0..logits.len())
        .filter(|id| logits[*id] > f32::NEG_INFINITY)
        .collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    if !args.all {
        order.truncate(args.top);
    }
    let top = order.into_iter().map(|id| {
        let piece = session.tokenizer().piece(id as u32).unwrap_or_default();
        (id, logits[id], piece)
    });
    if args.json {
        let mut object = json!({ "token_ids": ids, "top": top.collect::<Vec<_>>() });
        if args.all {
            object["logits"] = json!(logits);
        }
        return print_json(&object);
    }
    let mut out = terminal::report();
    for (id, logit, piece) in top {
        writeln!(out, "{id:>7}  {logit:>10.4}  {piece:?}")?;
    }
    Ok(())
}
