//! Errors as JavaScript knows them: an `Error` whose `code` tells a program what its message
//! tells a person. The codes are a contract with the page (`www/engine/src/protocol.ts`).

use js_sys::Reflect;
use periapt_core::Error;
use wasm_bindgen::JsValue;

/// What every export gives.
pub type JsResult<T> = Result<T, JsValue>;

/// An engine's error as a JavaScript one.
pub fn to_js(error: &Error) -> JsValue {
    new(code(error), &error.to_string())
}

/// The caller's own mistake.
pub fn bad_request(message: &str) -> JsValue {
    new("bad_request", message)
}

/// An `Error` with a `code`.
pub fn new(code: &str, message: &str) -> JsValue {
    let error = JsValue::from(js_sys::Error::new(message));
    // Setting a property of an object just made can't fail.
    let _ = Reflect::set(&error, &"code".into(), &code.into());
    error
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::Source(_) => "model_file",
        Error::Text(_) => "text",
        Error::Model(_) | Error::NoEnd | Error::OtherVocabulary { .. } | Error::NoEffect { .. } => {
            "model"
        }
        Error::Decoding(_) | Error::NoCompanion(_) | Error::Schema(_) => "bad_request",
        Error::Device(_) => "device",
        Error::NoChatTemplate => "no_chat_template",
        Error::DeviceFailed { .. } | Error::NotANumber { .. } => "device_failed",
    }
}
