//! All `PyO3` code and nothing else: [`handler`], [`logger`] (calls without a record) and [`ledger`] take records in, [`record`] and its companions encode them,
//! [`context`] adds what is bound, [`noise`] samples and collapses, [`settings`] reads configuration, [`module`] holds the functions,
//! [`config_file`] reads configuration files, [`command`] is the `logspool` command's entry.

mod answers;
mod attach;
mod attempts;
mod beside;
mod bill;
mod buffer;
mod command;
mod config_file;
mod context;
mod cost;
mod cut;
mod direct;
mod encode;
mod entry;
mod events;
mod exception;
mod fields;
mod flush;
mod fragments;
mod handler;
mod held;
mod keys;
mod ledger;
mod logger;
mod members;
mod message;
mod mirror;
mod module;
mod names;
mod noise;
mod objects;
mod open;
mod parts;
mod prices;
mod record;
mod redaction;
mod reopen;
mod repeats;
mod settings;
mod sites;
mod structures;
mod task;
mod text;
mod traceback;
mod verdict;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// Refuses every interpreter but the main one: spools, hooks and threads are the process', one of each.
fn refuse_subinterpreters(py: Python<'_>) -> PyResult<()> {
    if attach::is_main_interpreter(py) {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "logspool does not work in a subinterpreter; import and configure it in the main interpreter",
    ))
}

/// The extension module.
#[pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::refuse_subinterpreters(module.py())?;
        super::logger::set_up(module)?;
        super::context::set_up(module)?;
        super::entry::install(module)
    }

    #[pymodule_export]
    use super::answers::{Answer, asked_model, header_values};
    #[pymodule_export]
    use super::bill::bill;
    #[pymodule_export]
    use super::command::main;
    #[pymodule_export]
    use super::config_file::read_configuration;
    #[pymodule_export]
    use super::context::{Context, Tail};
    #[pymodule_export]
    use super::flush::set_flush_watcher;
    #[pymodule_export]
    use super::handler::NativeHandler;
    #[pymodule_export]
    use super::ledger::{
        bill_http_call, encode_cost, set_cost_handler, set_cost_opener, set_cost_watcher,
    };
    #[pymodule_export]
    use super::logger::{fast_calls, install};
    #[pymodule_export]
    use super::mirror::one_line;
    #[pymodule_export]
    use super::module::{
        LineEncoder, encode_record, flush, fork_before, fork_child, fork_parent, shutdown, stats,
        write_kept,
    };
    #[pymodule_export]
    use super::prices::set_prices;
    #[pymodule_export]
    use super::redaction::{TextRedactor, redact_apply, redact_explain};
    #[pymodule_export]
    use super::text::tell_payloads;
    #[pymodule_export]
    use super::traceback::stack_traces;
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
