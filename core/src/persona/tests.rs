#![allow(clippy::unwrap_used)]

use super::*;

fn unit(axis: usize, value: f64) -> OfAxes {
    let mut features = [0.0; K];
    features[axis] = value;
    features
}

fn measured() -> Measured {
    Measured {
        model: String::new(),
        mean: [0.0; K],
        deviation: [1.0; K],
        effect: std::array::from_fn(|i| unit(i, if i == 4 { 0.0 } else { 1.0 })),
    }
}

#[test]
fn choices_along_an_axis_are_learnt_and_leaned_along() {
    let mut persona = Persona::default();
    assert_eq!(persona.posterior().mean, [0.0; K]);
    assert!(persona.leans(&measured(), 2.0).is_empty());
    for _ in 0..8 {
        persona.learn(&unit(1, 1.0), &unit(1, -1.0), Taken::First);
        persona.learn(&unit(4, 1.0), &unit(4, -1.0), Taken::First);
    }
    let posterior = persona.posterior();
    assert!(posterior.mean[1] > 0.8, "{:?}", posterior.mean);
    assert!(
        posterior.deviations()[1] < 0.8,
        "{:?}",
        posterior.deviations()
    );
    assert!((posterior.deviations()[0] - 1.0).abs() < 1e-9);
    // The model can't be moved along the other one.
    let leans = persona.leans(&measured(), 2.0);
    assert_eq!(leans.len(), 1);
    assert_eq!(leans[0].towards(), "formal");
    assert!(leans[0].k > 1.0 && leans[0].k < 2.0, "{leans:?}");
    let twice = persona.leans(&measured(), 4.0);
    assert!((twice[0].k - 2.0 * leans[0].k).abs() < 1e-12);

    persona.pause(true);
    persona.learn(&unit(1, 1.0), &unit(1, -1.0), Taken::Second);
    assert!(persona.leans(&measured(), 2.0).is_empty());
    persona.pause(false);
    assert_eq!(persona.choices().len(), 16);
    assert_eq!(persona.leans(&measured(), 2.0), leans);

    persona.hold(1, Some(0.0)).unwrap();
    assert!(persona.leans(&measured(), 2.0).is_empty());
    persona.hold(1, None).unwrap();
    assert_eq!(persona.leans(&measured(), 2.0), leans);
    assert!(persona.hold(1, Some(f64::NAN)).is_err());
    assert!(persona.hold(K, Some(1.0)).is_err());
    for _ in 0..16 {
        assert!(persona.undo());
    }
    assert!(!persona.undo());
    assert_eq!(persona, Persona::default());
}

#[test]
fn clicks_that_say_nothing_lean_nowhere() {
    let mut persona = Persona::default();
    for _ in 0..10 {
        persona.learn(&unit(1, 1.0), &unit(1, -1.0), Taken::First);
        persona.learn(&unit(1, 1.0), &unit(1, -1.0), Taken::Second);
        persona.learn(&unit(2, 1.0), &unit(2, -1.0), Taken::Same);
    }
    let posterior = persona.posterior();
    assert!(
        posterior.mean.iter().all(|w| w.abs() < 0.1),
        "{posterior:?}"
    );
    let leans = persona.leans(&measured(), 2.0);
    assert!(leans.iter().all(|lean| lean.k.abs() < 0.1), "{leans:?}");
}

#[test]
fn the_pair_that_says_most_is_along_what_is_unknown() {
    let mut persona = Persona::default();
    for _ in 0..30 {
        persona.learn(&unit(0, 1.0), &unit(0, -1.0), Taken::First);
    }
    let features = [unit(0, 1.0), unit(0, -1.0), unit(3, 0.9), unit(3, -0.9)];
    assert_eq!(persona.posterior().best_pair(&features), Some([2, 3]));
    assert_eq!(persona.posterior().best_pair(&features[..1]), None);
}

#[test]
fn streams_of_two_axes_and_of_none() {
    let leans = [Lean { axis: 0, k: -0.5 }, Lean { axis: 1, k: 1.5 }];
    let weighted: Vec<(String, f64)> = streams(&leans)
        .into_iter()
        .map(|stream| (stream.name, stream.weight))
        .collect();
    let named = |name: &str, weight| (name.to_owned(), weight);
    assert_eq!(
        weighted,
        [
            named("formal", 1.5),
            named("base", 1.0),
            named("casual", -1.5),
            named("short", 0.5),
            named("long", -0.5),
        ]
    );
    assert_eq!(streams(&[]).len(), 1);
    assert!(method(&leans).validate().is_ok());
    assert!(instruction(&leans).unwrap().starts_with("Be concise"));
    assert_eq!(instruction(&[]), None);
}

#[test]
fn a_persona_is_read_as_it_was_written_and_nothing_else_is() {
    let mut persona = Persona::default();
    persona.learn(&unit(2, 0.3), &unit(5, 1.0 / 3.0), Taken::Same);
    persona.hold(3, Some(-1.5)).unwrap();
    let json = serde_json::to_string(&persona).unwrap();
    assert_eq!(Persona::parse(&json).unwrap(), persona);
    for (from, to) in [
        ("periapt-persona/1", "periapt-persona/2"),
        ("\"warmth\"", "\"weather\""),
        ("-1.5", "-1e9"),
        ("0.3", "1e300"),
        ("\"paused\"", "\"pausing\""),
        ("\"same\"", "\"none\""),
    ] {
        assert!(json.contains(from));
        assert!(Persona::parse(&json.replace(from, to)).is_err(), "{to}");
    }
    assert!(Persona::parse("").is_err());
}

#[test]
fn axes_and_their_ends_have_names_of_their_own() {
    let mut names: Vec<&str> = AXES
        .iter()
        .flat_map(|axis| [axis.name, axis.minus.name, axis.plus.name])
        .collect();
    for (place, one) in AXES.iter().enumerate() {
        assert_eq!(axis(one.name), Some(place));
    }
    assert_eq!(axis("taste"), None);
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn the_posterior_is_that_of_a_plain_fit() {
    #[derive(serde::Deserialize)]
    struct Case {
        differences: Vec<OfAxes>,
        shares: Vec<f64>,
        mean: OfAxes,
        covariance: Matrix,
        features: Vec<OfAxes>,
        pair: [usize; 2],
    }
    #[derive(serde::Deserialize)]
    struct Cases {
        cases: Vec<Case>,
    }
    let json = include_str!("../../../tests/fixtures/persona/posterior.json");
    let Cases { cases } = serde_json::from_str(json).unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let taken = |share: f64| match share {
            1.0 => Taken::First,
            0.0 => Taken::Second,
            _ => Taken::Same,
        };
        let choices: Vec<Choice> = case
            .differences
            .iter()
            .zip(&case.shares)
            .map(|(difference, share)| Choice {
                difference: *difference,
                taken: taken(*share),
            })
            .collect();
        let posterior = Posterior::of(&choices, &[None; K]);
        for i in 0..K {
            assert!((posterior.mean[i] - case.mean[i]).abs() < 1e-7);
            for j in 0..K {
                assert!((posterior.covariance[i][j] - case.covariance[i][j]).abs() < 1e-7);
            }
        }
        assert_eq!(posterior.best_pair(&case.features), Some(case.pair));
    }
}

#[test]
fn draws_have_the_posteriors_mean_and_covariance() {
    let choices = [Choice {
        difference: [1.0, 0.5, 0.0, 0.0, -1.0, 0.0],
        taken: Taken::First,
    }; 5];
    let posterior = Posterior::of(&choices, &[None, None, Some(1.5), None, None, None]);
    let draws: Vec<OfAxes> = (0..4000).map(|seed| posterior.draw(seed)).collect();
    for i in 0..K {
        let mean = draws.iter().map(|w| w[i]).sum::<f64>() / 4000.0;
        assert!((mean - posterior.mean[i]).abs() < 0.06, "{i}: {mean}");
        for j in 0..K {
            let both = draws
                .iter()
                .map(|w| (w[i] - posterior.mean[i]) * (w[j] - posterior.mean[j]));
            let covariance = both.sum::<f64>() / 4000.0;
            assert!((covariance - posterior.covariance[i][j]).abs() < 0.08);
        }
    }
    assert!((posterior.mean[2] - 1.5).abs() < 1e-6);
    assert_eq!(posterior.draw(7), posterior.draw(7));
}

#[test]
fn what_was_measured_is_sound() {
    let known = Measured::of(Some("qwen2.5-coder:0.5b"));
    assert!(known.is_of(Some("qwen2.5-coder:0.5b")));
    assert!(known.deviation.iter().all(|deviation| *deviation > 0.0));
    assert!(!Measured::of(Some("of nobody")).is_of(Some("of nobody")));
    assert_eq!(known.standard(&known.mean), [0.0; K]);
}
