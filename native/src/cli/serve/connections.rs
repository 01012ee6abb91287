//! The server's connections: how many there may be, how long they may be silent, and how all of them end.

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Sleep, sleep, timeout};

/// From the first signal on, what is under way has so long.
const DRAIN: Duration = Duration::from_secs(1);

/// Where no connection can be taken (all file descriptors are in use, say), the next try.
const PAUSE: Duration = Duration::from_millis(50);

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n\
    Content-Type: text/plain\r\nContent-Length: 39\r\n\r\nAll connections to this server are busy";

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many there may be at once.
    pub connections: usize,
    /// For a request's head, from the connection's or the last answer's beginning on.
    pub head: Duration,
    /// Without a byte of an answer taken.
    pub stall: Duration,
}

/// Ctrl-C and SIGTERM, from the moment on at which this is made.
pub struct Signals(mpsc::Receiver<()>);

impl Signals {
    pub fn listen() -> io::Result<Self> {
        let (tell, told) = mpsc::channel(2);
        #[cfg(unix)]
        for kind in [
            tokio::signal::unix::SignalKind::interrupt(),
            tokio::signal::unix::SignalKind::terminate(),
        ] {
            let mut signal = tokio::signal::unix::signal(kind)?;
            let tell = tell.clone();
            tokio::spawn(async move {
                while signal.recv().await.is_some() && tell.send(()).await.is_ok() {}
            });
        }
        #[cfg(windows)]
        {
            let mut signal = tokio::signal::windows::ctrl_c()?;
            tokio::spawn(async move {
                while signal.recv().await.is_some() && tell.send(()).await.is_ok() {}
            });
        }
        Ok(Self(told))
    }

    async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // No signals to wait for: killing the process ends it.
            std::future::pending::<()>().await;
        }
    }
}

/// Serves until a signal comes; then idle connections end at once, others get a moment and until `finished`, or no time at a
/// second signal.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut signals: Signals,
    finished: impl Future<Output = ()>,
) {
    let open = Arc::new(Open::default());
    let (end, ends) = watch::channel(());
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = signals.next() => break,
        };
        let Ok((stream, _)) = accepted else {
            // The connection, or the machine's limit: room is made for the next.
            open.close_idle();
            sleep(PAUSE).await;
            continue;
        };
        if open.count() >= limits.connections && !open.close_idle() {
            // As much as the kernel takes at once, to who can't be heard anyway.
            let _ = timeout(PAUSE, stream.writable()).await;
            let _ = stream.try_write(FULL);
            continue;
        }
        let place = Place(open.add(), Arc::clone(&open));
        let (router, ends, alive) = (router.clone(), ends.clone(), alive.clone());
        tokio::spawn(async move {
            run(stream, &place.0, router, limits, ends).await;
            drop((place, alive));
        });
    }
    drop((listener, alive));
    // Nobody may be left to hear it.
    let _ = end.send(());
    tokio::select! {
        _ = all_gone.recv() => {}
        () = async { finished.await; sleep(DRAIN).await } => {}
        () = signals.next() => {}
    }
}

/// One connection, to its end.
async fn run(
    stream: TcpStream,
    connection: &Arc<Connection>,
    router: Router,
    limits: Limits,
    mut ends: watch::Receiver<()>,
) {
    let stream = Patient {
        stream,
        patience: limits.stall,
        until: None,
    };
    let router = TowerToHyperService::new(router);
    let answer = service_fn(|request: Request<Incoming>| {
        let busy = Busy::begin(connection);
        let answer = router.call(request);
        async move {
            let response: Response = answer.await?;
            Ok::<_, std::convert::Infallible>(response.map(|body| Answer { body, _busy: busy }))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(served);
    tokio::select! {
        _ = &mut served => return,
        () = connection.close.notified() => return,
        _ = ends.changed() => {}
    }
    if connection.idle_since().is_none() {
        served.as_mut().graceful_shutdown();
        // How it ends does not matter.
        let _ = served.await;
    }
}

/// A connection, as the others see it.
#[derive(Debug)]
struct Connection {
    number: u64,
    /// Since when no request is under way; nothing while one is.
    idle_since: Mutex<Option<Instant>>,
    close: Notify,
}

impl Connection {
    fn idle_since(&self) -> MutexGuard<'_, Option<Instant>> {
        own(&self.idle_since)
    }
}

/// All connections.
#[derive(Debug, Default)]
struct Open(Mutex<(u64, BTreeMap<u64, Arc<Connection>>)>);

impl Open {
    fn count(&self) -> usize {
        own(&self.0).1.len()
    }

    fn add(&self) -> Arc<Connection> {
        let mut open = own(&self.0);
        open.0 += 1;
        let connection = Arc::new(Connection {
            number: open.0,
            idle_since: Mutex::new(Some(Instant::now())),
            close: Notify::new(),
        });
        open.1.insert(connection.number, Arc::clone(&connection));
        connection
    }

    /// Closes the connection that has been idle for the longest, if one is.
    fn close_idle(&self) -> bool {
        let mut open = own(&self.0);
        let idle = open
            .1
            .values()
            .filter_map(|one| Some(((*one.idle_since())?, one.number)))
            .min();
        let closed = idle.and_then(|(_, number)| open.1.remove(&number));
        if let Some(connection) = &closed {
            connection.close.notify_one();
        }
        closed.is_some()
    }
}

/// A connection's place among the others, free again however it ends.
struct Place(Arc<Connection>, Arc<Open>);

impl Drop for Place {
    fn drop(&mut self) {
        own(&self.1.0).1.remove(&self.0.number);
    }
}

fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While this is there, a request is under way.
struct Busy(Arc<Connection>);

impl Busy {
    fn begin(connection: &Arc<Connection>) -> Self {
        *connection.idle_since() = None;
        Self(Arc::clone(connection))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.idle_since() = Some(Instant::now());
    }
}

/// An answer's body: while it is there, its request is under way.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose writes fail where nobody has taken a byte for too long.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// While a write waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn bounded<T>(
        &mut self,
        task: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.until = None;
            return written;
        }
        let patience = self.patience;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(until.as_mut().poll(task));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(task, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(task, bytes);
        self.bounded(task, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(task, bytes);
        self.bounded(task, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
