//! The binary: hands its arguments to the command line and ends with its exit code.

use std::process::ExitCode;

/// Requests allocate much and briefly; this allocator takes about half the time of the C library's for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    countersign::cli::run(std::env::args_os())
}
