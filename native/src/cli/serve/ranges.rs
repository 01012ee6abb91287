//! Parts of files as RFC 9110 has it, before tower-http reads the request: that knows no `If-Range`, and refuses what is to
//! be ignored. A request for several parts gets the whole, which section 14.2 allows.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, ETAG, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::time::{SystemTime, UNIX_EPOCH};

/// Leaves in a request only a range that is to be answered as one, and written so that nothing is left to interpret.
pub async fn ranges(mut request: Request, next: Next) -> Response {
    // Of lists that are spread over several lines, only the first would be read.
    for name in [IF_MATCH, IF_NONE_MATCH] {
        join(request.headers_mut(), &name);
    }
    let range = only(request.headers_mut(), &RANGE);
    let condition = only(request.headers_mut(), &IF_RANGE);
    let range = range.and_then(|range| Range::parse(range.to_str().ok()?));
    // Of all methods GET alone has ranges.
    if let Some(range) = range.filter(|_| request.method() == Method::GET) {
        let about = next.clone().run(head_of(&request)).await;
        let headers = about.headers();
        let has_ranges = headers
            .get(ACCEPT_RANGES)
            .is_some_and(|unit| unit == "bytes");
        let holds = condition.is_none_or(|condition| holds(&condition, headers, SystemTime::now()));
        let bytes = headers.get(CONTENT_LENGTH);
        let bytes = bytes.and_then(|bytes| bytes.to_str().ok()?.parse().ok());
        if about.status() == StatusCode::OK
            && has_ranges
            && holds
            && let Some(bytes) = bytes
        {
            request.headers_mut().insert(RANGE, range.of(bytes));
        }
    }
    next.run(request).await
}

/// The question what lies there, without conditions.
fn head_of(request: &Request) -> Request {
    let mut head = Request::new(Body::empty());
    *head.method_mut() = Method::HEAD;
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    // What the router has read from the address.
    *head.extensions_mut() = request.extensions().clone();
    for name in [
        IF_MATCH,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
    ] {
        head.headers_mut().remove(name);
    }
    head
}

/// Takes a header out; nothing where it stands there twice.
fn only(headers: &mut HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let is_one = headers.get_all(name).iter().count() == 1;
    headers.remove(name).filter(|_| is_one)
}

fn join(headers: &mut HeaderMap, name: &HeaderName) {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b", "[..]))
    {
        headers.insert(name, joined);
    }
}

/// RFC 9110, section 13.1.5: the tag must be strong and the same, or the date must be the very one, of a second that is over
/// (in one that is not, the file may change again).
fn holds(condition: &HeaderValue, headers: &HeaderMap, now: SystemTime) -> bool {
    let text = condition.to_str().unwrap_or_default();
    if text.contains('"') {
        return !text.starts_with("W/") && headers.get(ETAG) == Some(condition);
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let changed = headers
        .get(LAST_MODIFIED)
        .and_then(|value| value.to_str().ok());
    let second = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    match (date(text), changed.and_then(date)) {
        (Some(wanted), Some(changed)) => wanted == changed && second(changed) < second(now),
        _ => false,
    }
}

/// One range of bytes (RFC 9110, section 14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// From the first to the last byte, if one is named.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

impl Range {
    /// What the header asks for; nothing where it is to be ignored: another unit, no range, several ranges.
    fn parse(text: &str) -> Option<Self> {
        let (unit, set) = text.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let mut ranges = Vec::new();
        // Elements of a list may be empty (section 5.6.1.2).
        for range in set.split(',').map(|range| range.trim_matches([' ', '\t'])) {
            if !range.is_empty() {
                ranges.push(Self::one(range)?);
            }
        }
        match ranges[..] {
            [range] => Some(range),
            _ => None,
        }
    }

    fn one(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// The same for a file of so many bytes, as plainly as can be written.
    fn of(self, bytes: u64) -> HeaderValue {
        let (first, last) = match self {
            Self::From(first, last) => (first, last.unwrap_or(u64::MAX)),
            Self::Last(0) => (bytes, bytes),
            Self::Last(count) => (bytes.saturating_sub(count), u64::MAX),
        };
        let plain = match first < bytes {
            true => format!("bytes={first}-{}", last.min(bytes - 1)),
            // None of it is there.
            false => "bytes=-0".to_owned(),
        };
        HeaderValue::from_str(&plain).unwrap_or(HeaderValue::from_static("bytes=-0"))
    }
}

/// A number of any length; what no file reaches is the largest one.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The examples of RFC 9110, section 14.1.2, and what reports of servers are about:
    /// https://github.com/tower-rs/tower-http/issues/725 (several) and 384 (beyond the end),
    /// https://github.com/denoland/std/pull/3354 (suffixes), https://github.com/h3js/srvx/pull/275 (units, what is malformed).
    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (text, bytes, plain) in [
            ("bytes=0-499", 10000, "bytes=0-499"),
            ("bytes=500-999", 10000, "bytes=500-999"),
            ("bytes=-500", 10000, "bytes=9500-9999"),
            ("bytes=9500-", 10000, "bytes=9500-9999"),
            ("bytes=9500-20000", 10000, "bytes=9500-9999"),
            ("bytes=-20000", 10000, "bytes=0-9999"),
            ("BYTES=0-0", 10000, "bytes=0-0"),
            ("bytes=,0-4", 10, "bytes=0-4"),
            ("bytes=0-4, ,", 10, "bytes=0-4"),
            ("bytes=00-04", 10, "bytes=0-4"),
            ("bytes=0-99999999999999999999999", 10, "bytes=0-9"),
            ("bytes=-99999999999999999999999", 10, "bytes=0-9"),
            ("bytes=10-", 10, "bytes=-0"),
            ("bytes=99999999999999999999999-", 10, "bytes=-0"),
            ("bytes=-0", 10, "bytes=-0"),
            ("bytes=0-", 0, "bytes=-0"),
            ("bytes=-5", 0, "bytes=-0"),
        ] {
            let range = Range::parse(text).map(|range| range.of(bytes));
            assert_eq!(
                range.as_ref().map(|range| range.to_str().unwrap()),
                Some(plain),
                "{text}"
            );
        }
        for ignored in [
            "items=0-3",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=abc",
            "bytes=5-2",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "bytes=-",
            "bytes=0-0,-1",
            "bytes=0-1,5-2",
            "bytes 0-3",
            "bytes=0-3;4-5",
        ] {
            assert_eq!(Range::parse(ignored), None, "{ignored}");
        }
    }

    #[test]
    fn conditions_need_what_is_strong() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"a\""));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        headers.insert(LAST_MODIFIED, HeaderValue::from_static(date));
        let changed = httpdate::parse_http_date(date).unwrap();
        let later = changed + std::time::Duration::from_secs(1);
        let check = |text, now| holds(&HeaderValue::from_static(text), &headers, now);
        for yes in [
            "\"a\"",
            date,
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert!(check(yes, later), "{yes}");
        }
        for no in [
            "\"b\"",
            "W/\"a\"",
            "a",
            "*",
            "\"a\", \"b\"",
            "",
            "Sun, 06 Nov 1994 08:49:36 GMT",
            "Sun, 06 Nov 1994 08:49:38 GMT",
        ] {
            assert!(!check(no, later), "{no}");
        }
        assert!(!check(date, changed));
    }
}
