//! The statistics of jemalloc, where it is the process's allocator. The only file that may hold `unsafe`.

use tikv_jemalloc_ctl::{epoch, raw, stats, thread};

/// Arena index that stands for all arenas together: `MALLCTL_ARENAS_ALL` of the jemalloc manual.
const ALL_ARENAS: &str = "4096";

/// What the allocator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AllocatorFigures {
    /// Bytes allocated at the moment.
    pub(super) allocated: u64,
    /// Bytes ever allocated, by size class.
    pub(super) allocated_total: u64,
}

/// One kind of size classes: how many, where their sizes and their allocation counts are.
struct Classes {
    sizes: Vec<u64>,
    counts: [usize; 6],
}

/// Access to the statistics.
pub(super) struct Allocator {
    bins: Classes,
    extents: Classes,
}

impl Allocator {
    /// The allocator of this process, or `None` where it is not jemalloc: then its statistics say nothing.
    pub(super) fn of_this_process() -> Option<Self> {
        let allocated = thread::allocatedp::read().ok()?;
        let before = allocated.get();
        drop(std::hint::black_box(vec![0_u8; 4096]));
        if allocated.get() < before + 4096 {
            return None;
        }
        Some(Self {
            bins: Classes::of("bins", "bin", "nbins")?,
            extents: Classes::of("lextents", "lextent", "nlextents")?,
        })
    }

    /// The figures now; costs about 30 µs.
    pub(super) fn read(&self) -> Option<AllocatorFigures> {
        epoch::advance().ok()?;
        let allocated = stats::allocated::read().ok()? as u64;
        let allocated_total = self.bins.allocated()?.checked_add(self.extents.allocated()?)?;
        Some(AllocatorFigures { allocated, allocated_total })
    }
}

impl Classes {
    fn of(plural: &str, singular: &str, number: &str) -> Option<Self> {
        let number: u32 = read_name(&format!("arenas.{number}\0"))?;
        let size = |class| read_name::<usize>(&format!("arenas.{singular}.{class}.size\0")).map(|size| size as u64);
        let sizes = (0..number).map(size).collect::<Option<Vec<_>>>()?;
        let mut counts = [0; 6];
        raw::name_to_mib(format!("stats.arenas.{ALL_ARENAS}.{plural}.0.nmalloc\0").as_bytes(), &mut counts).ok()?;
        Some(Self { sizes, counts })
    }

    /// Bytes ever allocated in these classes.
    fn allocated(&self) -> Option<u64> {
        let mut mib = self.counts;
        let mut sum = 0_u64;
        for (class, size) in self.sizes.iter().enumerate() {
            mib[4] = class;
            // SAFETY: the name behind the MIB is a uint64_t by the jemalloc manual (stats.arenas.<i>.bins.<j>.nmalloc).
            #[allow(unsafe_code)]
            let count: u64 = unsafe { raw::read_mib(&mib) }.ok()?;
            sum = sum.checked_add(count.checked_mul(*size)?)?;
        }
        Some(sum)
    }
}

fn read_name<T: Copy>(name: &str) -> Option<T> {
    // SAFETY: callers name unsigned (arenas.nbins, arenas.nlextents) and size_t values (arenas.*.size) as the manual
    // types them, each with its terminating NUL.
    #[allow(unsafe_code)]
    unsafe { raw::read(name.as_bytes()) }.ok()
}
