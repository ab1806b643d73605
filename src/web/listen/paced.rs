//! A stream whose other side has to keep a pace: a head that has begun is whole within half a minute, and what is
//! written is taken.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::world::Stopwatch;

/// A head is whole within this time from its first byte.
const HEAD: Duration = Duration::from_secs(30);
/// In this time of waiting…
const STRETCH: Duration = Duration::from_secs(30);
/// …so many bytes are taken at least.
const TAKEN: usize = 16 * 1024;

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Late {
    /// Its head did not come.
    #[error("the head of the request did not come in time")]
    Head,
    /// What was written was not taken.
    #[error("the answer was not taken in time")]
    Slow,
}

impl Late {
    /// As it is counted.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Slow => "slow",
        }
    }

    fn error(self) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, self)
    }
}

#[derive(Debug, Clone, Copy)]
enum Now {
    /// Nothing is asked.
    Idle(Stopwatch),
    /// A head has begun.
    Head(Stopwatch),
    /// A request is being answered.
    Busy,
}

/// What a connection is about.
#[derive(Debug)]
pub struct Phase(Mutex<Now>);

impl Default for Phase {
    fn default() -> Self {
        Self(Mutex::new(Now::Idle(Stopwatch::start())))
    }
}

impl Phase {
    fn now(&self) -> Now {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, now: Now) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// A request is whole; it is being answered until the answer is dropped.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.set(Now::Busy);
        Busy(self.clone())
    }

    /// For how long nothing whole has been asked.
    pub fn has_waited(&self) -> Option<Duration> {
        match self.now() {
            Now::Idle(since) | Now::Head(since) => Some(since.elapsed()),
            Now::Busy => None,
        }
    }

    /// Whether a head has begun that is not whole.
    pub fn is_in_head(&self) -> bool {
        matches!(self.now(), Now::Head(_))
    }
}

/// A request that is being answered.
pub struct Busy(Arc<Phase>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(Now::Idle(Stopwatch::start()));
    }
}

/// The stream.
pub struct Paced<S> {
    stream: S,
    phase: Arc<Phase>,
    head: Option<Pin<Box<Sleep>>>,
    stretch: Option<Pin<Box<Sleep>>>,
    taken: usize,
}

impl<S> Paced<S> {
    pub fn new(stream: S, phase: Arc<Phase>) -> Self {
        Self { stream, phase, head: None, stretch: None, taken: 0 }
    }

    /// Waits for the other side to take what is written, as long as it takes enough.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let stretch = self.stretch.get_or_insert_with(|| {
                self.taken = 0;
                Box::pin(sleep(STRETCH))
            });
            ready!(stretch.as_mut().poll(context));
            if self.taken < TAKEN {
                return Poll::Ready(Late::Slow.error());
            }
            self.stretch = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && matches!(self.phase.now(), Now::Idle(_)) {
            self.phase.set(Now::Head(Stopwatch::start()));
            self.head = Some(Box::pin(sleep(HEAD)));
        }
        if !self.phase.is_in_head() {
            self.head = None;
        }
        // Whoever sends a byte now and then is late all the same.
        if let Some(head) = &mut self.head
            && head.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(Late::Head.error()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => {
                self.taken += written;
                Poll::Ready(Ok(written))
            }
            Poll::Pending => self.wait(context).map(Err),
            Poll::Ready(failed) => Poll::Ready(failed),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Everything was written.
        self.stretch = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, slices) {
            Poll::Ready(Ok(written)) => {
                self.taken += written;
                Poll::Ready(Ok(written))
            }
            Poll::Pending => self.wait(context).map(Err),
            Poll::Ready(failed) => Poll::Ready(failed),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn late(error: &io::Error) -> Option<Late> {
        error.get_ref()?.downcast_ref().copied()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_ends_half_a_minute_after_its_first_byte() {
        let (mut client, server) = duplex(64);
        let began = tokio::time::Instant::now();
        let drip = tokio::spawn(async move {
            while client.write_all(b"G").await.is_ok() {
                sleep(HEAD / 10).await;
            }
        });
        let mut paced = Paced::new(server, Arc::default());
        let mut bytes = [0; 8];
        let error = loop {
            if let Err(error) = paced.read(&mut bytes).await {
                break error;
            }
        };
        assert_eq!(late(&error), Some(Late::Head));
        assert!((HEAD..HEAD + HEAD / 5).contains(&began.elapsed()), "{:?}", began.elapsed());
        drip.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_stream_and_the_body_of_a_request_have_their_time() {
        let (mut client, server) = duplex(64);
        let phase = Arc::new(Phase::default());
        let mut paced = Paced::new(server, phase.clone());
        let writes = tokio::spawn(async move {
            for _ in 0..3 {
                sleep(HEAD * 2).await;
                client.write_all(b"G").await.expect("it is read");
            }
        });
        let mut bytes = [0; 8];
        assert_eq!(paced.read(&mut bytes).await.expect("after a minute"), 1);
        let busy = phase.begin();
        assert_eq!(paced.read(&mut bytes).await.expect("of its body"), 1);
        drop(busy);
        assert!(phase.has_waited().is_some() && !phase.is_in_head());
        assert_eq!(paced.read(&mut bytes).await.expect("the next"), 1);
        assert!(phase.is_in_head());
        writes.await.expect("written");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_too_little_is_ended_and_whoever_takes_it_slowly_is_not() {
        let large = vec![0; 4 * TAKEN];
        let (client, server) = duplex(64);
        let mut paced = Paced::new(server, Arc::default());
        let error = paced.write_all(&large).await.expect_err("nobody reads");
        assert_eq!(late(&error), Some(Late::Slow));
        drop(client);
        let (mut client, server) = duplex(TAKEN);
        let mut paced = Paced::new(server, Arc::default());
        let reads = tokio::spawn(async move {
            let mut bytes = vec![0; TAKEN];
            for _ in 0..4 {
                sleep(STRETCH * 2 / 3).await;
                client.read_exact(&mut bytes).await.expect("it is written");
            }
        });
        paced.write_all(&large).await.expect("it is read");
        reads.await.expect("read");
    }
}
