//! How tokens are chosen, as the sampling kernels take it.

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The settings of guidance and sampling, one number a slot; `sample.wgsl` and `guidance.wgsl` have the
        /// equations.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct Settings {
            $($(#[$doc])* pub $name: f32,)*
        }

        impl Settings {
            /// What the slots hold, in order; templates know their places as `slot.NAME`.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// The slots.
            #[must_use]
            pub fn to_slots(self) -> Vec<f32> {
                vec![$(self.$name),*]
            }

            /// The settings in `slots`; those that are missing are 0.
            #[must_use]
            pub fn from_slots(slots: &[f32]) -> Self {
                let mut slots = slots.iter().copied();
                Self { $($name: slots.next().unwrap_or(0.0)),* }
            }
        }
    };
}

settings! {
    /// Least share of the anchor's best probability; 0 cuts nothing.
    beta,
    /// Divides the scores; 0 takes the best.
    temperature,
    /// How many of the best are kept; 0 keeps all.
    top_k,
    /// The mass of those that are kept, above 0; 1 keeps all.
    top_p,
    /// Least share of the best one's mass.
    min_p,
    /// Divides positive scores of tokens that the answer holds, multiplies negative ones.
    repetition,
    /// Subtracted for each time that the answer holds a token.
    frequency,
    /// Subtracted where the answer holds a token.
    presence,
    /// The mass of the anchor's best tokens that are kept, above 0; 1 keeps all.
    nucleus,
    /// The most KL divergence from the anchor's policy, in nats.
    budget,
}
