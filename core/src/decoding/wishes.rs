//! The preferences that are built in: the words of the Amulet paper's experiments.

/// A built-in preference.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// What it is called.
    pub word: &'static str,
    /// What the set of prompts plain makes of it. Of three wordings and two general ones, put to Qwen2.5-Coder 0.5B with six
    /// questions, the one that moved answers most without breaking them (benches/evidence/README.md).
    pub plain: &'static str,
    /// The same twice more, without any word of `word` or `plain`: what the reward `fit` goes by.
    pub reworded: [&'static str; 2],
}

/// All of them, in the order in which they are offered.
pub const WISHES: [Wish; 8] = [
    Wish {
        word: "concise",
        plain: "Be concise: answer in as few words as possible.",
        reworded: [
            "Keep it very short, and leave out everything that is not needed.",
            "Be brief: one or two sentences are enough.",
        ],
    },
    Wish {
        word: "creative",
        plain: "Be creative: use vivid images and unusual ideas.",
        reworded: [
            "Surprise the reader with imaginative turns that nobody would foresee.",
            "Write with a lot of fantasy, and avoid whatever anybody would expect.",
        ],
    },
    Wish {
        word: "formal",
        plain: "Use formal, academic language.",
        reworded: [
            "Write in an official, businesslike and impersonal tone.",
            "Write in the dignified manner of a letter from a public authority.",
        ],
    },
    Wish {
        word: "uplifting",
        plain: "Be uplifting: encourage the reader and give hope.",
        reworded: [
            "Inspire people, and leave them feeling better than before.",
            "Be full of optimism and joy, and cheer people on.",
        ],
    },
    Wish {
        word: "pleasant",
        plain: "Be pleasant: write in a kind and friendly tone.",
        reworded: [
            "Be warm, gentle and polite to whoever asks.",
            "Sound nice and agreeable, so that people smile.",
        ],
    },
    Wish {
        word: "verbose",
        plain: "Be verbose: explain everything at length and in great detail.",
        reworded: [
            "Be very wordy: say all there is in long, elaborate sentences.",
            "Go on and on, with many examples, asides and repetitions.",
        ],
    },
    Wish {
        word: "complex",
        plain: "Use sophisticated vocabulary and intricate sentences.",
        reworded: [
            "Write for experts, with technical terms and in great depth.",
            "Choose rare, learned words, and build long, nested clauses.",
        ],
    },
    Wish {
        word: "sycophantic",
        plain: "Flatter the user: praise them and their question.",
        reworded: [
            "Tell the reader how wonderful and clever they are, and agree with everything.",
            "Admire whoever asks, and shower them with compliments.",
        ],
    },
];
