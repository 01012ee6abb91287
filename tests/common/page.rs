//! `periapt serve`, and requests to it over real sockets.

use super::command;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use temp_dir::TempDir;

/// `periapt serve` with a page, a file of ten digits on offer, and a store.
pub struct Page {
    pub process: Option<Child>,
    pub port: u16,
    pub folder: TempDir,
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Page {
    pub fn start(args: &[&str]) -> Self {
        Self::with(TempDir::new().unwrap(), args)
    }

    /// In that folder, whose store is `store`.
    pub fn with(folder: TempDir, args: &[&str]) -> Self {
        Self::offering("m.gguf", folder, args)
    }

    /// With the ten digits under that name.
    pub fn offering(model: &str, folder: TempDir, args: &[&str]) -> Self {
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir_all(at("store")).unwrap();
        fs::create_dir_all(at("page/assets")).unwrap();
        fs::write(at("page/index.html"), "<p>page</p>").unwrap();
        fs::write(at("page/assets/a.js"), "0123456789").unwrap();
        fs::write(at("page/assets/a.js.br"), "brotli").unwrap();
        fs::write(at("page/.hidden"), "secret").unwrap();
        fs::write(at("secret.txt"), "secret").unwrap();
        fs::write(at(model), "0123456789").unwrap();
        let (page, model, store) = (at("page"), at(model), at("store"));
        let fixed = ["serve", "--port", "0", "--page", &page, "--model", &model];
        let mut process = command(&[&fixed[..], args].concat(), &[("PERIAPT_MODELS", &store)])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut url).unwrap();
        Self {
            port: port_of(&url).unwrap_or_else(|| panic!("no address: {url:?}")),
            process: Some(process),
            folder,
        }
    }

    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// Sends lines as they are, with `HOST` for the server's own name, and takes all that comes.
    pub fn raw(&self, head: &str) -> Answer {
        self.post(head, b"")
    }

    /// The same with a body behind them.
    pub fn post(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let head = head.replace("HOST", &format!("127.0.0.1:{}", self.port));
        let head = head.replace('\n', "\r\n");
        stream
            .write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        // The server may refuse before it has read all.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        answer(&bytes)
    }

    pub fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.send("GET", path, headers)
    }

    pub fn send(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let lines: String = headers.iter().map(|header| format!("\n{header}")).collect();
        self.raw(&format!("{method} {path} HTTP/1.1\nHost: HOST{lines}"))
    }
}

/// The port of the address that the server prints.
pub fn port_of(url: &str) -> Option<u16> {
    let port = url.trim().trim_end_matches('/').rsplit(':').next()?;
    port.parse().ok()
}

fn answer(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: bytes[end + 4..].to_vec(),
    }
}
