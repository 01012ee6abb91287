// The nucleus (top-p) of a row of logits: the smallest set of its best tokens, equal ones by id, whose probabilities reach a
// sum, one token at least (Holtzman et al. 2019, arXiv 1904.09751). Found without sorting: a token's place is a whole number
// that grows from the best token to the worst, and the place where the mass is reached is found four bits a pass, 8 passes.
// Only where several tokens share that place are 5 more passes spent on their ids, which may have 20 bits.
// It wants `logits`, `VOCAB`, reduce.wgsl and sortable.wgsl; call it in uniform control flow.

var<workgroup> four_sums: array<vec4<f32>, 256>;
var<workgroup> is_shared: bool;

// Four sums over all invocations, given to each.
fn workgroup_sums(mine: vec4<f32>, lane: u32) -> vec4<f32> {
    four_sums[lane] = mine;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if (lane < half) {
            four_sums[lane] += four_sums[lane + half];
        }
        workgroupBarrier();
    }
    let sums = four_sums[0];
    workgroupBarrier();
    return sums;
}

fn place(logit: f32) -> u32 {
    return ~sortable(logit);
}

// The first number of `width` bits such that the tokens up to it have the mass `limit`: among all by place, or with `by_id`
// among those at the place `edge` by id, after all before it. All bits are set where there is none.
fn reached(row: u32, highest: f32, limit: f32, width: u32, by_id: bool, edge: u32, lane: u32) -> u32 {
    var found = 0u;
    for (var left = width; left > 0u; left -= 4u) {
        let shift = left - 4u;
{% for part in range(4) %}
        // The last numbers of four of the sixteen parts, and the mass up to each.
        let last_{{ part }} = found + (vec4<u32>({{ 4 * part + 1 }}u, {{ 4 * part + 2 }}u, {{ 4 * part + 3 }}u, {{ 4 * part + 4 }}u) << vec4<u32>(shift)) - 1u;
        var mass_{{ part }} = vec4<f32>(0.0);
{% endfor %}
        for (var v = lane; v < VOCAB; v += 256u) {
            let logit = finite(logits[row * VOCAB + v]);
            let mass = vec4<f32>(select(0.0, exp(logit - highest), logit > LOWEST));
            let own = place(logit);
            let of_id = select(select(0xffffffffu, v, own == edge), 0u, own < edge);
            let number = vec4<u32>(select(own, of_id, by_id));
{% for part in range(4) %}
            mass_{{ part }} += select(vec4<f32>(0.0), mass, number <= last_{{ part }});
{% endfor %}
        }
        // Parts that end before the mass is reached.
        var short = vec4<u32>(0u);
{% for part in range(4) %}
        short += select(vec4<u32>(0u), vec4<u32>(1u), workgroup_sums(mass_{{ part }}, lane) < vec4<f32>(limit));
{% endfor %}
        found += min(short.x + short.y + short.z + short.w, 15u) << shift;
    }
    return found;
}

// The nucleus's last token. `norm` has the row's highest logit and the sum of exp(l - highest).
fn nucleus(row: u32, norm: vec2<f32>, share: f32, lane: u32) -> Best {
    // Out of reach where all are kept, whatever rounding does.
    let limit = select(3.4e38, share * norm.y, share < 1.0);
    let edge = min(reached(row, norm.x, limit, 32u, false, 0u, lane), place(LOWEST));
    var count = 0.0;
    for (var v = lane; v < VOCAB; v += 256u) {
        count += select(0.0, 1.0, place(finite(logits[row * VOCAB + v])) == edge);
    }
    let all = workgroup_sum(count, lane);
    if (lane == 0u) {
        is_shared = all > 1.0 && edge < place(LOWEST);
    }
    workgroupBarrier();
    var id = VOCAB;
    if (workgroupUniformLoad(&is_shared)) {
        id = reached(row, norm.x, limit, 20u, true, edge, lane);
    }
    return Best(unsortable(~edge), id);
}
