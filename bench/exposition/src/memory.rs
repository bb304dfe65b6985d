//! The allocator, and how much of it was held at a peak.
//!
//! Nothing is counted until a measurement begins, so that times are those of the allocator alone.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use tikv_jemallocator::Jemalloc;

static COUNTS: AtomicBool = AtomicBool::new(false);
static HELD: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// jemalloc, counted.
pub(crate) struct Counted;

fn add(bytes: usize) {
    if COUNTS.load(Relaxed) {
        let bytes = bytes.cast_signed() as i64;
        PEAK.fetch_max(HELD.fetch_add(bytes, Relaxed) + bytes, Relaxed);
    }
}

fn subtract(bytes: usize) {
    if COUNTS.load(Relaxed) {
        HELD.fetch_sub(bytes.cast_signed() as i64, Relaxed);
    }
}

// SAFETY: every call goes on to jemalloc as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        subtract(layout.size());
        unsafe { Jemalloc.dealloc(pointer, layout) }
    }

    /// What grows in place is never held twice; what moves is, while it is copied.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let moved = unsafe { Jemalloc.realloc(pointer, layout, size) };
        if moved == pointer {
            subtract(layout.size());
            add(size);
        } else {
            add(size);
            subtract(layout.size());
        }
        moved
    }
}

/// The most bytes held at a time while `work` ran, over those that are held before and after.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> u64 {
    HELD.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
    let done = work();
    drop(done);
    COUNTS.store(false, Relaxed);
    // What was held before and is not any more took part in the peak.
    let after = HELD.load(Relaxed).min(0);
    (PEAK.load(Relaxed) - after).max(0).cast_unsigned()
}
