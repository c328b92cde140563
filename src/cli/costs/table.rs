//! Calls put together by what they are told apart by, and the table of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::line::Call;
use crate::cli::grouped;
use crate::cli::out::Out;
use crate::console::sanitise;
use crate::decimal::Decimal;

/// What calls can be told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Model,
    Tier,
    Tool,
    Day,
    Provider,
    Session,
    Task,
}

impl By {
    pub const NAMES: [&'static str; 7] = [
        "model", "tier", "tool", "day", "provider", "session", "task",
    ];

    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "model" => Self::Model,
            "tier" => Self::Tier,
            "tool" => Self::Tool,
            "day" => Self::Day,
            "provider" => Self::Provider,
            "session" => Self::Session,
            "task" => Self::Task,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    fn of(self, call: &Call) -> Option<String> {
        match self {
            Self::Model => call.model.clone(),
            Self::Tier => call.tier.clone(),
            Self::Tool => call.tool.clone(),
            Self::Day => call.at.map(|at| at.strftime("%Y-%m-%d").to_string()),
            Self::Provider => call.provider.clone(),
            Self::Session => call.session.clone(),
            Self::Task => call.task.clone(),
        }
    }
}

/// What several calls cost together, in one currency.
#[derive(Clone, Debug, Default)]
struct Sum {
    calls: u64,
    /// Of unknown cost.
    unknown: u64,
    prompt: i128,
    completion: i128,
    cost: Decimal,
}

impl Sum {
    fn add(&mut self, call: &Call) {
        self.calls += 1;
        self.prompt += i128::from(call.prompt.unwrap_or(0));
        self.completion += i128::from(call.completion.unwrap_or(0));
        match call.cost.and_then(|cost| self.cost.plus(cost)) {
            Some(sum) => self.cost = sum,
            None => self.unknown += 1,
        }
    }

    fn json(&self, currency: &str) -> Map<String, Value> {
        let mut data = Map::new();
        data.insert("calls".to_owned(), self.calls.into());
        data.insert("unknown".to_owned(), self.unknown.into());
        let tokens = json!({"prompt": number(self.prompt), "completion": number(self.completion)});
        data.insert("tokens".to_owned(), tokens);
        // As text: a number would be read as a float, and rounded.
        data.insert("cost".to_owned(), self.cost.to_string().into());
        data.insert("currency".to_owned(), currency.into());
        data
    }

    fn cells(&self, currency: &str) -> [String; 6] {
        [
            grouped(self.calls),
            grouped(self.unknown),
            grouped_signed(self.prompt),
            grouped_signed(self.completion),
            self.cost.to_string(),
            sanitise::one_line(currency).into_owned(),
        ]
    }
}

fn number(value: i128) -> Value {
    i64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from)
}

fn grouped_signed(value: i128) -> String {
    let sign = if value < 0 { "-" } else { "" };
    u64::try_from(value.unsigned_abs()).map_or_else(
        |_| value.to_string(),
        |absolute| format!("{sign}{}", grouped(absolute)),
    )
}

const SUMS: [&str; 6] = ["calls", "unknown", "prompt", "completion", "cost", ""];

/// The names of a row, and the currency it is in.
type Row = (Vec<Option<String>>, String);

/// The table.
pub struct Table {
    by: Vec<By>,
    rows: BTreeMap<Row, Sum>,
    totals: BTreeMap<String, Sum>,
}

impl Table {
    pub fn new(by: Vec<By>) -> Self {
        Self {
            by,
            rows: BTreeMap::new(),
            totals: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, call: &Call) {
        let names = self.by.iter().map(|by| by.of(call)).collect();
        let row = (names, call.currency.clone());
        self.rows.entry(row).or_default().add(call);
        self.totals
            .entry(call.currency.clone())
            .or_default()
            .add(call);
    }

    /// By name where the first column is a day, otherwise what cost most first.
    fn sorted(&self) -> Vec<(&Row, &Sum)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        if self.by.first() != Some(&By::Day) {
            rows.sort_by(|(a, x), (b, y)| y.cost.cmp(&x.cost).then_with(|| a.cmp(b)));
        }
        rows
    }

    pub fn json(&self) -> Map<String, Value> {
        let rows = self.sorted().into_iter().map(|((names, currency), sum)| {
            let named = self.by.iter().zip(names);
            let mut row: Map<String, Value> = named
                .map(|(by, name)| (by.name().to_owned(), name.clone().into()))
                .collect();
            row.extend(sum.json(currency));
            Value::Object(row)
        });
        let totals = self.totals.iter();
        let mut data = Map::new();
        data.insert("by".to_owned(), self.by.iter().map(|b| b.name()).collect());
        data.insert("rows".to_owned(), rows.collect());
        let totals = totals.map(|(currency, sum)| Value::Object(sum.json(currency)));
        data.insert("totals".to_owned(), totals.collect());
        data
    }

    pub fn show(&self, out: &mut Out) {
        if self.rows.is_empty() {
            out.line("no costs");
            return;
        }
        let names = self.by.len();
        let mut lines: Vec<Vec<String>> = Vec::new();
        let head = self.by.iter().map(|by| by.name()).chain(SUMS);
        lines.push(head.map(str::to_owned).collect());
        for ((row, currency), sum) in self.sorted() {
            let shown = row.iter().map(|name| {
                let name = name.as_deref().unwrap_or("-");
                sanitise::one_line(name).into_owned()
            });
            lines.push(shown.chain(sum.cells(currency)).collect());
        }
        for (currency, sum) in &self.totals {
            let mut line = vec![String::new(); names];
            "total".clone_into(&mut line[0]);
            line.extend(sum.cells(currency));
            lines.push(line);
        }
        align_points(&mut lines, names + 4);
        let columns = lines[0].len();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
        for line in &lines {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let space = " ".repeat(width - cell.chars().count());
                let gap = if column == 0 { "" } else { "  " };
                let to_the_left = column < names || column + 1 == columns;
                text += gap;
                let parts = if to_the_left {
                    [cell, &space]
                } else {
                    [&space, cell]
                };
                text.extend(parts.map(String::as_str));
            }
            out.line(text.trim_end());
        }
    }
}

/// Fills amounts up with spaces behind, so that their points stand one below the other.
fn align_points(lines: &mut [Vec<String>], column: usize) {
    let places = |cell: &str| cell.find('.').map_or(0, |point| cell.len() - point);
    let cells = lines.iter().skip(1);
    let most = cells.map(|line| places(&line[column])).max().unwrap_or(0);
    for line in lines.iter_mut().skip(1) {
        let missing = most - places(&line[column]);
        line[column].push_str(&" ".repeat(missing));
    }
}
