//! Errors as OpenAI's API has them: `{"error": {"message", "type", "param", "code"}}`. The message says what to do.

use crate::cli::serve::json_response;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use periapt_core::Error;
use periapt_core::contract::BadRequest;
use periapt_core::model::ModelError;
use serde_json::{Value, json};

/// Why a request was not met.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    /// The field that is wrong.
    param: Option<String>,
    message: String,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            param: None,
            message: message.into(),
        }
    }

    /// What is wrong with the request itself.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_value", message)
    }

    /// The same of one field.
    pub fn field(param: &str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.to_owned()),
            ..Self::invalid(message)
        }
    }

    /// A field that nothing here heeds.
    pub fn unknown(param: &str) -> Self {
        Self {
            param: Some(param.to_owned()),
            code: "unknown_parameter",
            ..Self::invalid(format!(
                "unknown field `{param}`: leave it out; what is Periapt's own goes into `alignment`"
            ))
        }
    }

    pub fn key() -> Self {
        let what = "this server wants its key: send `Authorization: Bearer KEY`";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", what)
    }

    pub fn origin() -> Self {
        let what =
            "pages of other origins may not ask this server: start it with --allow-origin ORIGIN";
        Self::new(StatusCode::FORBIDDEN, "forbidden_origin", what)
    }

    pub fn no_model(message: String) -> Self {
        Self {
            param: Some("model".to_owned()),
            ..Self::new(StatusCode::NOT_FOUND, "model_not_found", message)
        }
    }

    pub fn no_route() -> Self {
        let what = "there is no such address; docs/server.md lists those of the API";
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }

    pub fn no_method() -> Self {
        let what =
            "this address takes another method: GET for what is listed, POST for what is asked";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", what)
    }

    pub fn busy(most: usize) -> Self {
        let what = format!(
            "{most} requests are under way or wait already: try again, or start the server with a larger --max-queue"
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "queue_full", what)
    }

    pub fn too_large(most: usize) -> Self {
        let what = format!(
            "the request's body passes {most} bytes: shorten it, or start the server with a larger --max-body"
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", what)
    }

    pub fn slow() -> Self {
        let what = "the request's body did not come in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", what)
    }

    pub fn ended() -> Self {
        let what = "the server is ending";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", what)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    pub fn json(&self) -> Value {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::NOT_FOUND => "not_found_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": {
            "message": self.message,
            "type": kind,
            "param": self.param,
            "code": self.code,
        } })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(&self.json());
        *response.status_mut() = self.status;
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let soon = HeaderValue::from_static("5");
            response.headers_mut().insert(RETRY_AFTER, soon);
        }
        response
    }
}

impl From<BadRequest> for ApiError {
    fn from(error: BadRequest) -> Self {
        Self::invalid(error.0)
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Model(ModelError::ContextFull { .. }) => Self {
                code: "context_length_exceeded",
                ..Self::invalid(message)
            },
            Error::Model(ModelError::CacheTooLarge { .. }) => Self {
                code: "context_length_exceeded",
                ..Self::invalid(format!(
                    "{message}; ask for fewer tokens or answers, or start the server with a larger --cache"
                ))
            },
            Error::Decoding(_)
            | Error::NoEffect { .. }
            | Error::NoCompanion(_)
            | Error::NoChatTemplate
            | Error::Schema(_)
            | Error::NoEnd
            | Error::Model(ModelError::BadToken { .. } | ModelError::EmptyPrompt) => {
                Self::invalid(message)
            }
            _ => Self::internal(message),
        }
    }
}
