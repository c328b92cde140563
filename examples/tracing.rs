//! A Rust worker beside Python servers: the same records, in a directory that the same commands read.
//!
//!     RUST_LOG=debug cargo run --example tracing --features tracing -- /tmp/worker/worker.jsonl

use std::error::Error;

use tracing::{error, info, instrument};

#[instrument(fields(request_id = "req_0123456789abcdef"))]
fn process_task(task_id: &str, input: &str) -> Option<u64> {
    info!(api_key = "sk-not-in-the-log", "task started");
    match input.parse::<u64>() {
        Ok(answer) => {
            info!(event = "task.completed", answer, "task {task_id} completed");
            Some(answer)
        }
        Err(cause) => {
            error!(
                event = "task.failed",
                error = &cause as &dyn Error,
                "task {task_id} failed"
            );
            None
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = logspool::tracing::builder().service("worker");
    if let Some(path) = std::env::args_os().nth(1) {
        settings = settings.filename(path);
    }
    // Until the end of `main`: when it is dropped, everything is written.
    let _guard = settings.init()?;
    process_task("task-1", "42");
    process_task("task-2", "forty-two");
    Ok(())
}
