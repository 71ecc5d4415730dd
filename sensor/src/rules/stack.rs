//! Room for deep recursion. Trees of conditions may be a thousand levels deep, and the stages walk them by recursion:
//! more than the stack of an ordinary thread holds for sure.

/// Stack of the thread. The kernel gives memory only for what is used of it.
const STACK: usize = 64 << 20;

/// Does `work` on a thread with a big stack and waits for it. Where no thread can be started, `work` is done on this one:
/// rules that people write are not deep.
pub fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let mut work = Some(work);
    let mut done = None;
    let run = || done = work.take().map(|work| work());
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("rules".to_owned()).stack_size(STACK);
        // The scope waits for the thread, and passes on its panic.
        drop(thread.spawn_scoped(scope, run));
    });
    match (done, work) {
        (Some(done), _) => done,
        (None, Some(work)) => work(),
        (None, None) => unreachable!("the work was taken and gave nothing"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn deep_recursion_fits() {
        fn deep(levels: usize) -> usize {
            let frame = std::hint::black_box([levels; 64]);
            if levels == 0 { 0 } else { deep(levels - 1) + 1 + frame[0] - levels }
        }
        assert_eq!(super::on_big_stack(|| deep(20_000)), 20_000);
    }
}
