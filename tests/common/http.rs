//! A real HTTP server on this machine, for what is downloaded.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub path: String,
    /// First byte asked for.
    pub range: Option<usize>,
    pub if_range: bool,
    pub authorization: Option<String>,
}

/// A head (status line and headers, each ended by a line break) and a body; `hold` keeps the connection open, silent.
#[derive(Default)]
pub struct Reply {
    pub head: String,
    pub body: Vec<u8>,
    pub hold: bool,
}

#[derive(Default)]
pub struct Seen {
    pub requests: Vec<Request>,
    pub body_bytes: usize,
    pub held: Vec<TcpStream>,
}

pub struct Server {
    pub url: String,
    pub seen: Arc<Mutex<Seen>>,
}

impl Server {
    /// Serves on a free port until the test process ends; `answer` also gets the request's number, from 0.
    pub fn start(answer: impl Fn(usize, &Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&stream);
                let number = shared.lock().unwrap().requests.len();
                shared.lock().unwrap().requests.push(request.clone());
                let reply = answer(number, &request);
                let head = format!("HTTP/1.1 {}Connection: close\r\n\r\n", reply.head);
                // The client may hang up early: that is its right.
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&reply.body);
                let mut seen = shared.lock().unwrap();
                seen.body_bytes += reply.body.len();
                if reply.hold {
                    seen.held.push(stream);
                }
            }
        });
        Self { url, seen }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }
}

fn read_request(stream: &TcpStream) -> Request {
    let mut request = Request::default();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if request.path.is_empty() {
            request.path = line.split(' ').nth(1).unwrap().to_owned();
        } else if line.is_empty() {
            break;
        } else if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "range" => {
                    let from = value.strip_prefix("bytes=").unwrap();
                    request.range = Some(from.strip_suffix('-').unwrap().parse().unwrap());
                }
                "if-range" => request.if_range = true,
                "authorization" => request.authorization = Some(value.to_owned()),
                _ => {}
            }
        }
    }
    request
}

/// A file from the byte asked for on, as a good server sends it, with `headers` beside those that it takes.
pub fn ranged(bytes: &[u8], request: &Request, headers: &str) -> Reply {
    let total = bytes.len();
    let from = request.range.unwrap_or(0);
    let (status, range) = match request.range {
        Some(_) => (
            "206 Partial Content",
            format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1),
        ),
        None => ("200 OK", String::new()),
    };
    Reply {
        head: format!(
            "{status}\r\n{headers}{range}Content-Length: {}\r\n",
            total - from
        ),
        body: bytes[from..].to_vec(),
        hold: false,
    }
}
