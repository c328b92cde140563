//! What the spans around an event add to it.

use std::sync::Arc;

use serde_json::json;
use tracing::instrument::WithSubscriber;
use tracing::{Instrument, info, info_span, instrument};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, registry};

use crate::{Logged, layer_in, logged, records};

#[test]
fn an_event_has_the_fields_of_its_spans_the_span_and_the_list() {
    let records = logged(|| {
        let _outer = info_span!(
            "request",
            request_id = "req_1",
            task_id = "outer",
            user = "eva"
        )
        .entered();
        let _inner = info_span!("task", task_id = "inner", arm = "coder").entered();
        info!(arm = "planner", duration_ms = 7, "done");
    });
    assert_eq!(records[0]["request_id"], "req_1");
    assert_eq!(
        records[0]["fields"],
        json!({
            "user": "eva", "task_id": "inner", "arm": "planner", "duration_ms": 7,
            "span": {"name": "task", "task_id": "inner", "arm": "coder"},
            "spans": [
                {"name": "request", "request_id": "req_1", "task_id": "outer", "user": "eva"},
                {"name": "task", "task_id": "inner", "arm": "coder"},
            ],
        })
    );
}

#[test]
fn each_of_the_three_can_be_left_out() {
    let shapes = [
        (true, false, false, json!({"a": 1, "b": 2})),
        (
            false,
            true,
            false,
            json!({"b": 2, "span": {"name": "s", "a": 1}}),
        ),
        (
            false,
            false,
            true,
            json!({"b": 2, "spans": [{"name": "s", "a": 1}]}),
        ),
        (false, false, false, json!({"b": 2})),
    ];
    for (context, current, list, expected) in shapes {
        let log = Logged::new(|s| s.context(context).current_span(current).span_list(list));
        let records = log.run(|| info_span!("s", a = 1).in_scope(|| info!(b = 2, "x")));
        assert_eq!(records[0]["fields"], expected);
    }
}

#[test]
fn a_span_says_what_was_recorded_last() {
    let records = logged(|| {
        let span = info_span!("job", status = "new", rows = tracing::field::Empty);
        let _entered = span.enter();
        info!("a");
        span.record("status", "running");
        span.record("rows", 12);
        info!("b");
        span.record("rows", 13);
        info!("c");
    });
    assert_eq!(
        records[0]["fields"]["span"],
        json!({"name": "job", "status": "new"})
    );
    assert_eq!(
        records[1]["fields"]["span"],
        json!({"name": "job", "status": "running", "rows": 12})
    );
    assert_eq!(records[2]["fields"]["rows"], 13);
}

#[test]
fn a_users_names_are_never_twice_in_one_object() {
    let log = Logged::new(|s| s.field("static", "fixed").field("here", "fixed"));
    let records = log.run(|| {
        let _entered = info_span!("s", name = "mine").entered();
        info!(span = "mine", spans = "mine", here = "own", "x");
    });
    assert_eq!(records[0]["fields"]["span"], "mine");
    assert_eq!(
        records[0]["fields"]["span#2"],
        json!({"name": "s", "name#2": "mine"})
    );
    assert_eq!(records[0]["fields"]["spans"], "mine");
    assert_eq!(records[0]["fields"]["here"], "own");
    assert_eq!(records[0]["fields"]["static"], "fixed");
    let line = &crate::lines(log.dir.path())[0];
    assert_eq!(line.matches("\"here\":").count(), 1, "{line}");
}

#[instrument(skip(config))]
async fn process_task(task_id: &str, number: usize, config: &str) -> usize {
    info!("started");
    tokio::task::yield_now().await;
    let inner = async {
        info!(step = number % 7, "working");
        tokio::task::yield_now().await;
    };
    inner
        .instrument(info_span!("step", request_id = %format!("req_{number}")))
        .await;
    info!(length = config.len(), "completed");
    number
}

#[test]
fn no_task_has_anothers_span_on_its_records() {
    let log = Logged::new(|s| s.spool_bytes(1 << 20));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..1000)
            .map(|number| {
                let task = async move {
                    process_task(&format!("task-{number}"), number, "the configuration").await
                };
                tokio::spawn(task.with_subscriber(log.dispatch.clone()))
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), number);
        }
    });
    let records = records(log.dir.path());
    assert_eq!(records.len(), 3000);
    let mut seen = vec![0; 1000];
    for record in &records {
        let fields = &record["fields"];
        let number = usize::try_from(fields["number"].as_u64().unwrap()).unwrap();
        seen[number] += 1;
        assert_eq!(fields["task_id"], format!("task-{number}"));
        assert!(
            fields.get("config").is_none(),
            "what is skipped is not there"
        );
        if record["event"] == "working" {
            assert_eq!(record["request_id"], format!("req_{number}"));
            assert_eq!(fields["spans"][0]["name"], "process_task");
            assert_eq!(fields["span"]["name"], "step");
        } else {
            assert!(record.get("request_id").is_none());
            assert_eq!(fields["span"]["name"], "process_task");
        }
    }
    assert!(seen.iter().all(|count| *count == 3));
}

#[test]
fn two_layers_with_settings_of_their_own_stand_beside_each_other() {
    let (all, audit) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, _first) = layer_in(all.path(), |s| s.span_list(false));
    let (second, _second) = layer_in(audit.path(), |s| {
        s.redact(None).current_span(false).span_list(false)
    });
    let both = registry()
        .with(first.with_filter(LevelFilter::DEBUG))
        .with(second.with_filter(LevelFilter::WARN));
    tracing::subscriber::with_default(Arc::new(both), || {
        let span = tracing::warn_span!("login", password = "hunter2");
        let _entered = span.enter();
        tracing::debug!("one");
        tracing::warn!("two");
    });
    let (all, audit) = (records(all.path()), records(audit.path()));
    assert_eq!(all.len(), 2);
    assert_eq!(
        all[1]["fields"],
        json!({"password": "***", "span": {"name": "login", "password": "***"}})
    );
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0]["fields"], json!({"password": "hunter2"}));
}
