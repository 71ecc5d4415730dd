//! The `falconet` binary; everything is in the library but the allocator: it gives back what a burst of requests has used.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    falconet::cli::main()
}
