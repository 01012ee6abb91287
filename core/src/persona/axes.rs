//! What people differ in: bipolar axes, each with an instruction for either end.

use crate::decoding::streams::{Stream, StreamPreference};

/// How many axes there are.
pub const K: usize = 6;

/// A number for each axis, in the order of [`AXES`].
pub type OfAxes = [f64; K];

/// One end of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pole {
    /// What it is called.
    pub name: &'static str,
    /// How a prompt asks for it.
    pub instruction: &'static str,
}

impl Pole {
    /// The prompt that asks for it, so weighted.
    #[must_use]
    pub fn stream(&self, weight: f64) -> Stream {
        Stream {
            name: self.name.to_owned(),
            preference: StreamPreference::Text(self.instruction.to_owned()),
            weight,
            ..Stream::base()
        }
    }
}

/// An axis: two opposite ways to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// What it is called.
    pub name: &'static str,
    /// The end to which its numbers fall.
    pub minus: Pole,
    /// The end to which they rise.
    pub plus: Pole,
}

impl Axis {
    /// The end on the side of `value`.
    #[must_use]
    pub fn pole(&self, value: f64) -> &Pole {
        match value < 0.0 {
            true => &self.minus,
            false => &self.plus,
        }
    }
}

/// The axis that a text is measured on without the model: by the logarithm of its words.
pub const LENGTH: usize = 0;

/// All of them, in the order in which they are stored and shown.
pub const AXES: [Axis; K] = [
    Axis {
        name: "length",
        minus: Pole {
            name: "short",
            instruction: "Be concise: answer in as few words as possible.",
        },
        plus: Pole {
            name: "long",
            instruction: "Be verbose: explain everything at length and in great detail.",
        },
    },
    Axis {
        name: "formality",
        minus: Pole {
            name: "casual",
            instruction: "Write casually, as if you were chatting with a close friend.",
        },
        plus: Pole {
            name: "formal",
            instruction: "Use formal, academic language.",
        },
    },
    Axis {
        name: "expertise",
        minus: Pole {
            name: "plain",
            instruction: "Explain it in very simple words, so that a young child understands it.",
        },
        plus: Pole {
            name: "technical",
            instruction: "Write for experts, with precise technical terms.",
        },
    },
    Axis {
        name: "warmth",
        minus: Pole {
            name: "neutral",
            instruction: "Be neutral and matter-of-fact, without any feeling.",
        },
        plus: Pole {
            name: "warm",
            instruction: "Be warm and enthusiastic: encourage the reader and give hope.",
        },
    },
    Axis {
        name: "examples",
        minus: Pole {
            name: "abstract",
            instruction: "State general principles only, and never give an instance.",
        },
        plus: Pole {
            name: "concrete",
            instruction: "Illustrate whatever you say with a concrete example.",
        },
    },
    Axis {
        name: "layout",
        minus: Pole {
            name: "prose",
            instruction: "Write one flowing paragraph, without any list.",
        },
        plus: Pole {
            name: "bullets",
            instruction: "Answer with a list of short bullet points.",
        },
    },
];

/// The place of an axis by its name.
#[must_use]
pub fn axis(name: &str) -> Option<usize> {
    AXES.iter().position(|axis| axis.name == name)
}
