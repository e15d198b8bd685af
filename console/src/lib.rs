//! The parts of the weft command that tests share.

pub mod example;
pub mod output;

/// The allocator of the whole process, SQLite and zstd included. A sync makes hundreds of small allocations for each
/// instance and takes about a fifth less time than with the allocator of glibc (docs/performance.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
