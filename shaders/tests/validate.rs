//! Every kernel, in every variant, parses, validates, and stays within the floor limits.

#![allow(clippy::unwrap_used)]

use naga::{AddressSpace, valid};
use periapt_shaders::{
    ALL, ATTENTION, EMBED, LAYOUTS, MATMUL, MATVEC, ROPE_WRITE, Shader, Value, floor,
};

type Values = Vec<(&'static str, Value)>;

/// The K types have blocks of 256 inputs.
fn inputs(dtype: &str) -> Value {
    Value::Number(if dtype.ends_with("_k") { 2048 } else { 576 })
}

/// The cache's shape in the default model and in Llama-3.1-8B, packed and not.
fn caches() -> impl Iterator<Item = (usize, Values)> {
    [
        (3usize, 64usize, 3usize),
        (8, 128, 4),
        (2, 64, 7),
        (1, 16, 1),
        (4, 96, 1),
    ]
    .into_iter()
    .flat_map(|(kv_heads, head_dim, group)| {
        [true, false].map(|f16| {
            let values: Values = vec![
                ("kv_heads", kv_heads.into()),
                ("head_dim", head_dim.into()),
                ("f16", f16.into()),
            ];
            (group, values)
        })
    })
}

/// What a product does with its result, and whether it norms its input.
const PRODUCTS: [(&str, bool); 4] = [
    ("none", false),
    ("none", true),
    ("add", false),
    ("silu_mul", true),
];

/// Every variant of a kernel worth checking.
fn variants(shader: &Shader) -> Vec<Values> {
    let mut all = Vec::new();
    match shader.name {
        "matvec" => {
            for dtype in LAYOUTS.iter().map(|layout| layout.name) {
                for (after, norm) in PRODUCTS {
                    for (lanes, slices, outs, subgroup) in [
                        (8, 1, 8, 0),
                        (32, 8, 1, 0),
                        (16, 16, 1, 0),
                        (8, 1, 8, 8),
                        (4, 1, 8, 4),
                        (32, 1, 2, 32),
                    ] {
                        for rows in [1usize, 8] {
                            let outs: usize = if after == "silu_mul" {
                                (outs / 2).max(1)
                            } else {
                                outs
                            };
                            all.push(vec![
                                ("dtype", dtype.into()),
                                ("inputs", inputs(dtype)),
                                ("outputs", 3072usize.into()),
                                ("rows", rows.into()),
                                ("lanes", Value::Number(lanes)),
                                ("slices", Value::Number(slices)),
                                ("outs", outs.into()),
                                ("subgroup", Value::Number(subgroup)),
                                ("norm", norm.into()),
                                ("after", after.into()),
                                ("epsilon", 1e-5f32.into()),
                            ]);
                        }
                    }
                }
            }
        }
        "matmul" => {
            for dtype in LAYOUTS.iter().map(|layout| layout.name) {
                for (after, norm) in PRODUCTS {
                    for tokens in [32usize, 64] {
                        all.push(vec![
                            ("dtype", dtype.into()),
                            ("inputs", inputs(dtype)),
                            ("outputs", 3072usize.into()),
                            ("tokens", tokens.into()),
                            ("norm", norm.into()),
                            ("after", after.into()),
                            ("epsilon", 1e-5f32.into()),
                        ]);
                    }
                }
            }
        }
        "embed" => {
            for dtype in LAYOUTS.iter().map(|layout| layout.name) {
                all.push(vec![
                    ("dtype", dtype.into()),
                    ("inputs", inputs(dtype)),
                    ("outputs", 49_152usize.into()),
                    ("first", 0usize.into()),
                ]);
            }
        }
        "rope_write" => {
            for (group, mut values) in caches() {
                values.push(("heads", (3 * group).into()));
                for (bias, norm) in [(false, false), (true, false), (false, true), (true, true)] {
                    let mut values = values.clone();
                    values.extend([
                        ("bias", bias.into()),
                        ("norm", norm.into()),
                        ("epsilon", 1e-6f32.into()),
                    ]);
                    all.push(values);
                }
            }
        }
        "attention" => {
            for (group, cache) in caches() {
                let most = (16 / group).max(1);
                for (queries, splits, lanes, subgroup, window) in [
                    (1usize, 1usize, 64usize, 0usize, 0usize),
                    (1, 4, 64, 0, 0),
                    (1, 4, 64, 0, 4096),
                    (most, 1, 64, 0, 0),
                    (most, 1, 64, 0, 512),
                    (1, 1, 8, 0, 0),
                    (2, 1, 8, 8, 0),
                    (2, 1, 8, 8, 100),
                ] {
                    let mut values = cache.clone();
                    values.extend([
                        ("group", group.into()),
                        ("window", window.into()),
                        ("queries", queries.into()),
                        ("splits", splits.into()),
                        ("lanes", lanes.into()),
                        ("subgroup", subgroup.into()),
                        ("scale", 0.125f32.into()),
                    ]);
                    all.push(values);
                }
            }
        }
        "attention_combine" => {
            all.push(vec![
                ("head_dim", 64usize.into()),
                ("splits", 4usize.into()),
            ]);
        }
        "copy" => all.push(Vec::new()),
        "fma_chain" => all.push(vec![("rounds", 256usize.into())]),
        "guidance" => {
            for (nucleus, jsd) in [(false, false), (true, false), (false, true), (true, true)] {
                for evaluations in [0usize, 12] {
                    let shares = if nucleus || jsd || evaluations > 0 {
                        1usize
                    } else {
                        16
                    };
                    all.push(vec![
                        ("vocab", 49_152usize.into()),
                        ("streams", 2usize.into()),
                        ("shares", shares.into()),
                        ("nucleus", nucleus.into()),
                        ("jsd", jsd.into()),
                        ("evaluations", evaluations.into()),
                    ]);
                }
            }
        }
        "sample_summary" => all.push(vec![
            ("vocab", 151_936usize.into()),
            ("shares", 64usize.into()),
        ]),
        "sample" => {
            for top in [0usize, 20] {
                all.push(vec![
                    ("vocab", 151_936usize.into()),
                    ("shares", 64usize.into()),
                    ("streams", 2usize.into()),
                    ("top", top.into()),
                ]);
            }
        }
        "log_probs" => all.push(vec![("vocab", 49_152usize.into())]),
        "copy_page" => all.push(vec![("words", 12_288usize.into())]),
        name => panic!("no values to try {name} with"),
    }
    all
}

fn validate(source: &str) -> Result<naga::Module, String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    // pack2x16float belongs to every WebGPU; naga counts it as a capability for old OpenGL's sake.
    let capabilities =
        valid::Capabilities::SUBGROUP | valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    valid::Validator::new(valid::ValidationFlags::all(), capabilities)
        .subgroup_stages(valid::ShaderStages::COMPUTE)
        .subgroup_operations(valid::SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|e| e.emit_to_string(source))?;
    Ok(module)
}

/// Leaves every variant where the browser's test looks for what Chromium must compile.
#[test]
fn every_variant_is_written_out() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("wgsl");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for shader in ALL {
        for (index, values) in variants(shader).iter().enumerate() {
            let file = folder.join(format!("{}_{index:03}.wgsl", shader.name));
            std::fs::write(file, shader.browser_source(values)).unwrap();
        }
    }
}

#[test]
fn every_kernel_is_valid_and_within_the_floor() {
    for shader in ALL {
        for values in variants(shader) {
            let source = shader.source(&values);
            let what = format!("{} {values:?}", shader.name);
            let module = validate(&source).unwrap_or_else(|e| panic!("{what}: {e}"));

            let [entry] = module.entry_points.as_slice() else {
                panic!("{what}: wants one entry point");
            };
            assert_eq!(entry.name, "main", "{what}");
            let invocations: u32 = entry.workgroup_size.iter().product();
            assert!(invocations <= floor::INVOCATIONS, "{what}");

            let storage: Vec<_> = module
                .global_variables
                .iter()
                .filter(|(_, v)| matches!(v.space, AddressSpace::Storage { .. }))
                .collect();
            assert!(storage.len() <= floor::STORAGE_BUFFERS, "{what}");
            for (index, (_, variable)) in storage.iter().enumerate() {
                let binding = variable.binding.unwrap();
                assert_eq!(
                    (binding.group, binding.binding),
                    (0, index as u32),
                    "{what}"
                );
            }

            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).unwrap();
            let workgroup: u32 = module
                .global_variables
                .iter()
                .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
                .map(|(_, v)| layouter[v.ty].size)
                .sum();
            assert!(
                workgroup <= floor::WORKGROUP_BYTES,
                "{what}: {workgroup} bytes"
            );
        }
    }
}

#[test]
fn a_planted_fault_is_found() {
    for (shader, good, bad) in [
        (MATVEC, "f32(INPUTS)", "INPUTS"),
        (MATMUL, "f32(INPUTS)", "INPUTS"),
        (EMBED, "u32(tokens", "f32(tokens"),
        (ROPE_WRITE, "vec2<f32>(qkv", "vec3<f32>(qkv"),
        (ATTENTION, "exp(", "exp(1u + "),
    ] {
        let values = variants(&shader)
            .into_iter()
            .find(|values| shader.source(values).contains(good));
        let source = shader.source(&values.unwrap());
        assert!(
            validate(&source.replace(good, bad)).is_err(),
            "{}",
            shader.name
        );
    }
}
