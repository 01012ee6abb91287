// A score after penalties, from `scores`, `counts` and `settings` as sample.wgsl binds them; LOWEST for what is no number.

fn penalized(answer: u32, v: u32) -> f32 {
    let at = answer * VOCAB + v;
    var p = scores[at];
    if (settings[5] != 1.0 || settings[6] != 0.0 || settings[7] != 0.0) {
        let count = f32(counts[at]);
        if (count > 0.0) {
            p = select(p * settings[5], p / settings[5], p > 0.0) - settings[6] * count - settings[7];
        }
    }
    return finite(p);
}
