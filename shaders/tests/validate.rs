//! Every kernel parses, validates, and stays within the floor limits.

#![allow(clippy::unwrap_used)]

use naga::{AddressSpace, valid};
use periapt_shaders::{ALL, Shader, floor};

/// Realistic template values by name.
fn value(name: &str) -> String {
    match name {
        "workgroup_size" => "64",
        "rows" => "2",
        "inputs" => "576",
        "outputs" => "49152",
        "width" => "576",
        "epsilon" => "1e-5",
        "row_width" => "960",
        "heads" => "12",
        "head_dim" => "64",
        _ => panic!("no test value for the template value {name}"),
    }
    .to_owned()
}

fn source(shader: &Shader) -> String {
    shader.source(&shader.values.iter().map(|v| value(v)).collect::<Vec<_>>())
}

fn validate(source: &str) -> Result<naga::Module, String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::empty())
        .validate(&module)
        .map_err(|e| e.emit_to_string(source))?;
    Ok(module)
}

#[test]
fn every_kernel_is_valid_and_within_the_floor() {
    for shader in ALL {
        let source = source(shader);
        assert!(
            !source.contains("{{"),
            "{}: an open template value",
            shader.name
        );
        let module = validate(&source).unwrap_or_else(|e| panic!("{}: {e}", shader.name));

        let [entry] = module.entry_points.as_slice() else {
            panic!("{}: wants one entry point", shader.name);
        };
        assert_eq!(entry.name, "main", "{}", shader.name);
        let invocations: u32 = entry.workgroup_size.iter().product();
        assert!(invocations <= floor::INVOCATIONS, "{}", shader.name);

        let storage: Vec<_> = module
            .global_variables
            .iter()
            .filter(|(_, v)| matches!(v.space, AddressSpace::Storage { .. }))
            .collect();
        assert!(storage.len() <= floor::STORAGE_BUFFERS, "{}", shader.name);
        for (index, (_, variable)) in storage.iter().enumerate() {
            let binding = variable.binding.unwrap();
            assert_eq!(
                (binding.group, binding.binding),
                (0, index as u32),
                "{}",
                shader.name
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
        assert!(workgroup <= floor::WORKGROUP_BYTES, "{}", shader.name);
    }
}

#[test]
fn a_planted_fault_is_found() {
    let good = source(&periapt_shaders::RMS_NORM);
    assert!(validate(&good.replace("f32(WIDTH)", "WIDTH")).is_err());
}
