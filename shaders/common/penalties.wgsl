// A score after penalties, from `scores`, `counts` and `settings` as sample.wgsl binds them; LOWEST for what is no number.

fn penalized(answer: u32, v: u32) -> f32 {
    let at = answer * VOCAB + v;
    var p = scores[at];
    if (settings[{{ slot.repetition }}] != 1.0 || settings[{{ slot.frequency }}] != 0.0 || settings[{{ slot.presence }}] != 0.0) {
        let count = f32(counts[at]);
        if (count > 0.0) {
            p = select(p * settings[{{ slot.repetition }}], p / settings[{{ slot.repetition }}], p > 0.0) - settings[{{ slot.frequency }}] * count - settings[{{ slot.presence }}];
        }
    }
    return finite(p);
}
