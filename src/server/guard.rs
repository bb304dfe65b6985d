//! The guard on one connection: a deadline for each phase, so that no client can hold a connection for nothing, and
//! lines that end as they must.
//!
//! hyper's own header timer also runs while a kept-alive connection idles, so it would close every connection between
//! two scrapes; one long enough for those would let half-open connections stay. The guard tells the two apart: it sees
//! the bytes, and the service tells it when a request's head was whole and when its answer was ready.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::heads::Heads;
use super::limits::Limits;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    /// A head is being read; a new connection starts here, whether it sends or not, and agrees on TLS.
    Head,
    /// The head is whole, and a body is being read.
    Body,
    /// The request is being handled.
    Handling,
    /// The answer is being written.
    Answering,
    /// The answer is written, and nothing of another request has come.
    Idle,
    /// A step took too long.
    Late,
}

/// Where a connection stands, shared between its guard, its service, which runs in the same task, and the door.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(Step::Head as u8)))
    }

    /// The head is whole, and a body is to come.
    pub(super) fn reading_body(&self) {
        self.set(Step::Body);
    }

    /// The request is whole.
    pub(super) fn handling(&self) {
        self.set(Step::Handling);
    }

    /// The answer is ready.
    pub(super) fn answering(&self) {
        self.set(Step::Answering);
    }

    /// The answer is written.
    pub(super) fn answered(&self) {
        self.set(Step::Idle);
    }

    /// The client was too slow.
    pub(super) fn late(&self) {
        self.set(Step::Late);
    }

    pub(super) fn is_late(&self) -> bool {
        self.get() == Step::Late
    }

    /// How much it would be missed, from 0 for an idle connection, which its client can open again.
    pub(super) fn need(&self) -> u8 {
        match self.get() {
            Step::Idle | Step::Late => 0,
            Step::Head | Step::Body => 1,
            Step::Handling | Step::Answering => 2,
        }
    }

    /// Once late is late for good: a request that failed for it may still be answered.
    fn set(&self, step: Step) {
        if !self.is_late() {
            self.0.store(step as u8, Ordering::Relaxed);
        }
    }

    fn get(&self) -> Step {
        const STEPS: [Step; 6] = [Step::Head, Step::Body, Step::Handling, Step::Answering, Step::Idle, Step::Late];
        STEPS[usize::from(self.0.load(Ordering::Relaxed))]
    }
}

/// A stream whose reads and writes fail when its phase takes too long.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    limits: Limits,
    progress: Progress,
    /// The step the deadline is set for.
    timed: Step,
    deadline: Pin<Box<Sleep>>,
    /// When the request's first byte came.
    began: Instant,
    heads: Heads,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, limits: Limits, progress: Progress) -> Self {
        let deadline = Box::pin(sleep(limits.header));
        Self { stream, limits, progress, timed: Step::Head, deadline, began: Instant::now(), heads: Heads::new() }
    }

    /// Sets the deadline anew if the phase has changed.
    fn follow(&mut self) {
        let step = self.progress.get();
        if step != self.timed {
            let (was, now) = (std::mem::replace(&mut self.timed, step), Instant::now());
            let end = match step {
                Step::Head => {
                    self.began = now;
                    now + self.limits.header
                }
                Step::Body if was == Step::Head => self.began + self.limits.request,
                // Its head had come together with the request before.
                Step::Body => now + self.limits.request,
                Step::Handling | Step::Answering => now + self.limits.answer,
                Step::Idle => now + self.limits.idle,
                Step::Late => now,
            };
            self.deadline.as_mut().reset(end);
        }
    }

    /// What to say when the stream has to be waited for: to wait on, or that the phase took too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.follow();
        ready!(self.deadline.as_mut().poll(cx));
        // To have nothing to ask is no fault.
        if self.timed != Step::Idle {
            self.progress.late();
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, buf) else { return self.wait(cx) };
        if buf.filled().len() > before {
            if self.progress.get() == Step::Idle {
                self.progress.set(Step::Head);
                self.follow();
            }
            self.heads.take(&mut buf.filled_mut()[before..]);
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Pending => self.wait(cx),
            ready => ready,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bufs) {
            Poll::Pending => self.wait(cx),
            ready => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once everything it holds is written: then a ready answer is out.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(result) = Pin::new(&mut self.stream).poll_flush(cx) else { return self.wait(cx) };
        if self.progress.get() == Step::Answering {
            self.progress.answered();
            self.follow();
        }
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.wait(cx),
            ready => ready,
        }
    }
}
