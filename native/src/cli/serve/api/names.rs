//! The models that can be asked for, by name.

use super::Api;
use super::engine::Model;
use super::error::ApiError;
use crate::cli::serve::Offer;
use crate::store::Recommended;
use serde_json::{Value, json};
use std::ffi::OsStr;

/// A model that was asked for.
pub struct Named {
    pub model: Model,
    pub preference: Option<String>,
    pub recommended: Option<Recommended>,
    /// Its name in the catalogue.
    pub known: Option<&'static str>,
}

impl Api {
    /// The names of the models that can be asked for: what the catalogue calls them, or else their files' names.
    pub fn names(&self) -> impl Iterator<Item = (String, &Offer)> {
        self.0.offers.iter().map(|(file, offer)| {
            let own = file.strip_suffix(".gguf").unwrap_or(file);
            (offer.model.map_or(own, |spec| spec.name).to_owned(), offer)
        })
    }

    /// The model called `name`: `default`, or one of [`Api::names`], perhaps with `@` and a preference behind it.
    pub fn named(&self, name: Option<&str>) -> Result<Named, ApiError> {
        let name = name.unwrap_or("default");
        let (wanted, preference) = match self.offer(name) {
            Some(_) => (name, None),
            None => match name.split_once('@') {
                Some((model, wish)) => (model, Some(wish.to_owned())),
                None => (name, None),
            },
        };
        let Some((name, offer)) = self.offer(wanted) else {
            return Err(self.unknown(wanted));
        };
        Ok(Named {
            model: Model {
                name,
                path: offer.path.clone(),
            },
            preference,
            recommended: offer.model.and_then(|spec| spec.recommended),
            known: offer.model.map(|spec| spec.name),
        })
    }

    fn unknown(&self, wanted: &str) -> ApiError {
        let mut names: Vec<String> = self.names().map(|(name, _)| name).collect();
        if names.is_empty() {
            return ApiError::no_model(
                "there is no model on this machine yet: `periapt models pull` gets one; then start the server again"
                    .to_owned(),
            );
        }
        let distance =
            |name: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &wanted.to_lowercase());
        names.sort_by_key(|name| distance(name));
        let is_near = distance(&names[0]) <= (wanted.chars().count() / 4).max(1);
        let meant = match is_near {
            true => format!(" (did you mean {}?)", names[0]),
            false => String::new(),
        };
        ApiError::no_model(format!(
            "there is no model {wanted:?} here{meant}: take `default` or one of {}; `periapt models pull` gets more",
            names.join(", ")
        ))
    }

    /// The model called so, with the name that it is listed by.
    pub fn offer(&self, name: &str) -> Option<(String, &Offer)> {
        let name = match (name, &self.0.default) {
            ("default", Some(default)) => default,
            _ => name,
        };
        self.names().find(|(own, offer)| {
            let is = |part: Option<&OsStr>| part.is_some_and(|part| part == name);
            let is_file = is(offer.path.file_name()) || is(offer.path.file_stem());
            own.eq_ignore_ascii_case(name) || is_file
        })
    }

    /// What `/v1/models` says of a model that is called `name`, and listed as `own`; its status is llama.cpp's.
    pub fn card(&self, name: &str, own: &str) -> Value {
        json!({
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "periapt",
            "status": { "value": self.0.metrics.standing(own) },
        })
    }
}
