//! Any bytes as a trace and as a refinement's record: read, checked, and what is read shown as a page. What the check lets
//! pass must be a run that can be taken up and reported, whatever its numbers are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use periapt_fuzz::cli::tpo::{figures, format, page};
use periapt_fuzz::cli::trace;
use periapt_fuzz::terminal::shown;

fuzz_target!(|data: &[u8]| {
    if let Ok(trace) = trace::format::Trace::parse(data) {
        let page = trace::html::page(&trace).expect("what was checked can be shown");
        assert_eq!(shown(&page), page);
    }
    let Ok(parsed) = format::parse(data) else {
        return;
    };
    assert!(parsed.bytes <= data.len());
    let Some(content) = parsed.content else {
        return;
    };
    // What is whole is read again as it was.
    let again = format::parse(&data[..parsed.bytes]).expect("it was read");
    let again = again.content.expect("it had a header");
    assert_eq!(format!("{:?}", again.runs), format!("{:?}", content.runs));
    if let Some(report) = figures::Report::new("record".to_owned(), content) {
        let page = page::page(&[report]).expect("what was checked can be shown");
        assert_eq!(shown(&page), page);
    }
});
