//! A counting allocator for benches: they prove that a path does not allocate, instead of hoping so.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Passes everything on to the system's allocator and counts what is asked for, reallocations included.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes asked for and not given back.
static HELD: AtomicI64 = AtomicI64::new(0);

fn hold(bytes: usize) {
    HELD.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
}

fn give_back(bytes: usize) {
    HELD.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        hold(layout.size());
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: `place` came from the same allocator with the same layout.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        give_back(layout.size());
        hold(size);
        // SAFETY: the caller's promise about place, layout and size is passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often the program allocates while `work` runs. Other threads count too, so benches use it with none.
pub(crate) fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    work();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// How many bytes the program holds after `work` that it did not hold before.
#[allow(dead_code, reason = "not every bench asks")]
pub(crate) fn held(work: impl FnOnce()) -> i64 {
    let before = HELD.load(Ordering::Relaxed);
    work();
    HELD.load(Ordering::Relaxed) - before
}
