//! A hundred JSON schemas: whatever a model that knows no JSON answers, and however far it leans, what ends validates. Held
//! against a validator that is not the library which makes the masks.

use crate::session::{conversation, load};
use crate::tiny::Tiny;
use boon::{Compiler, Schemas};
use periapt_core::decoding::{AmuletParams, Method, Sampling};
use periapt_core::device::DeviceChoice;
use periapt_core::session::{Event, FinishReason, GenerateRequest, Generation, Scheduler};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SCHEMAS: usize = 100;

/// A token is a character.
const TOKENS: usize = 240;

/// What a string may be held to; each says how long it gets.
const PATTERNS: [&str; 6] = [
    "^[a-z]{2,5}$",
    "^[A-Z]{2}-[0-9]{3}$",
    "^(yes|no|perhaps)$",
    "^\\d{1,3}(\\.\\d{1,2})?$",
    "^#[0-9a-f]{6}$",
    "^\\w{1,4}( \\w{1,4})?$",
];

const NAMES: [&str; 8] = ["id", "mood", "rank", "tags", "at", "who", "n", "the sum"];

/// Schemas, from a seed.
struct Maker(ChaCha8Rng);

impl Maker {
    fn below(&mut self, most: u32) -> u32 {
        self.0.next_u32() % most
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.below(one_in) == 0
    }

    /// An object, an array or a choice, with others inside.
    fn schema(&mut self) -> Value {
        let mut schema = match self.below(6) {
            0 => self.array(2),
            1 => self.choice(2),
            _ => self.object(3),
        };
        if self.chance(5) {
            // By its name, as generated schemas have it.
            let own = self.object(1);
            schema = json!({
                "$defs": { "part": own },
                "type": "object",
                "properties": { "part": { "$ref": "#/$defs/part" }, "rest": schema },
                "required": ["part", "rest"],
                "additionalProperties": false,
            });
        }
        schema
    }

    fn any(&mut self, depth: u32) -> Value {
        match (depth, self.below(9)) {
            (1.., 0..=1) => self.object(depth - 1),
            (1.., 2) => self.array(depth - 1),
            (1.., 3) => self.choice(depth - 1),
            (_, place) => match place % 6 {
                0 => self.words(),
                1 => self.integer(),
                2 => self.number(),
                3 => self.text(),
                4 => json!({ "type": "string", "pattern": PATTERNS[self.below(6) as usize] }),
                _ => match self.below(4) {
                    0 => json!({ "type": "null" }),
                    1 => json!({ "const": { "v": [1, "a\"b\\"] } }),
                    2 => json!({ "type": "string", "format": "ipv4" }),
                    _ => json!({ "type": "boolean" }),
                },
            },
        }
    }

    fn object(&mut self, depth: u32) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for _ in 0..=self.below(4) {
            let name = NAMES[self.below(NAMES.len() as u32) as usize];
            properties.insert(name.to_owned(), self.any(depth));
        }
        for name in properties.keys() {
            if !self.chance(3) {
                required.push(name.clone());
            }
        }
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    fn array(&mut self, depth: u32) -> Value {
        let least = self.below(3);
        let mut array = json!({
            "type": "array",
            "items": self.any(depth),
            "minItems": least,
            "maxItems": least + self.below(3),
        });
        if self.chance(4) {
            array["prefixItems"] = json!([self.any(0), self.any(0)]);
            array["minItems"] = json!(2);
            array["maxItems"] = json!(2 + self.below(2));
        }
        array
    }

    fn choice(&mut self, depth: u32) -> Value {
        json!({ "anyOf": [self.any(depth), self.any(0)] })
    }

    fn words(&mut self) -> Value {
        let words = [
            json!("calm"),
            json!("sad"),
            json!(7),
            json!(null),
            json!("é \"x\""),
        ];
        let first = self.below(3) as usize;
        json!({ "enum": words[first..=first + 1 + self.below(2) as usize] })
    }

    fn integer(&mut self) -> Value {
        let least = i64::from(self.below(2000)) - 1000;
        let bits = self.below(20);
        let most = least + 8 + i64::from(self.below(1 << bits));
        let [low, high] = match self.chance(3) {
            true => ["exclusiveMinimum", "exclusiveMaximum"],
            false => ["minimum", "maximum"],
        };
        let mut integer = json!({ "type": "integer", low: least, high: most });
        if self.chance(4) {
            integer["multipleOf"] = json!(2 + self.below(3));
        }
        integer
    }

    /// Its digits have no end but the model's own.
    fn number(&mut self) -> Value {
        let least = f64::from(self.below(400)) / 8.0 - 20.0;
        let most = least + f64::from(1 + self.below(80)) / 4.0;
        json!({ "type": "number", "minimum": least, "maximum": most })
    }

    fn text(&mut self) -> Value {
        let least = self.below(4);
        json!({ "type": "string", "minLength": least, "maxLength": least + 1 + self.below(12) })
    }
}

fn schemas() -> Vec<Value> {
    let mut maker = Maker(ChaCha8Rng::seed_from_u64(20));
    let (mut schemas, mut seen) = (Vec::new(), BTreeSet::new());
    while schemas.len() < SCHEMAS {
        let schema = maker.schema();
        if seen.insert(schema.to_string()) {
            schemas.push(schema);
        }
    }
    schemas
}

#[test]
fn what_ends_validates_against_any_schema() {
    let session = load(&Tiny::new(6), DeviceChoice::Cpu).unwrap();
    let mut scheduler = Scheduler::new(&session, 64 << 20).unwrap();
    let amulet = Method::Amulet(AmuletParams::default());
    assert!((amulet.strength() - 4.65).abs() < 0.01);
    let schemas = schemas();
    let mut asked = BTreeMap::new();
    for method in [Method::Base, amulet] {
        for (place, schema) in schemas.iter().enumerate() {
            let request = GenerateRequest {
                conversations: vec![conversation("Why?")],
                method: method.clone(),
                sampling: Sampling {
                    temperature: 1.0,
                    seed: place as u64,
                    ..Sampling::default()
                },
                max_new_tokens: TOKENS,
                json_schema: Some(schema.clone()),
                ..GenerateRequest::default()
            };
            let id = scheduler
                .submit(request)
                .unwrap_or_else(|error| panic!("{error}: {schema}"));
            asked.insert(id, (method.name(), schema));
        }
    }
    let mut answers: Vec<(_, Generation)> = Vec::new();
    while !scheduler.is_idle() {
        pollster::block_on(scheduler.advance(&mut |id, event| {
            if let Event::Done { generation, .. } = event {
                answers.push((id, generation.clone()));
            }
        }))
        .unwrap();
    }
    assert_eq!(answers.len(), 2 * SCHEMAS);
    let (mut ended, mut shapes) = (BTreeMap::new(), BTreeSet::new());
    for (id, answer) in &answers {
        let (method, schema) = asked[id];
        if answer.finish_reason == FinishReason::Length {
            continue;
        }
        let said = format!("{method} of {schema}: {}", answer.text);
        let value: Value =
            serde_json::from_str(&answer.text).unwrap_or_else(|e| panic!("{e}: {said}"));
        let refused = refused(schema, &value);
        assert!(refused.is_none(), "{}: {said}", refused.unwrap_or_default());
        *ended.entry(method.as_str()).or_insert(0) += 1;
        shapes.insert(answer.text.clone());
    }
    eprintln!(
        "ended, of {SCHEMAS} each: {ended:?}, {} different",
        shapes.len()
    );
    // What is no part of any of them is refused by all.
    let other = json!({ "\u{1}": [[[[]]]] });
    assert!(
        schemas
            .iter()
            .all(|schema| refused(schema, &other).is_some())
    );
    for method in ["base", "amulet"] {
        assert!(ended[method] >= 90, "{ended:?}");
    }
    assert!(shapes.len() > SCHEMAS, "{}", shapes.len());
}

/// Why a value is none of a schema's.
fn refused(schema: &Value, value: &Value) -> Option<String> {
    const PLACE: &str = "mem:///schema.json";
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.enable_format_assertions();
    compiler.add_resource(PLACE, schema.clone()).unwrap();
    let own = compiler.compile(PLACE, &mut schemas).unwrap();
    schemas
        .validate(value, own)
        .err()
        .map(|error| error.to_string())
}
