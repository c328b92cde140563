//! What a file says, and in which line.

use std::fmt::Write;

use super::*;

fn entry<'a>(node: &'a Node, key: &str) -> &'a Entry {
    let Value::Table(entries) = &node.value else {
        panic!("not a table: {node:?}")
    };
    entries.iter().find(|entry| entry.key == key).unwrap()
}

fn yaml(text: &str) -> Node {
    parse(text, Format::Yaml).unwrap()
}

fn refused(text: &str, format: Format) -> String {
    parse(text, format).unwrap_err().to_string()
}

#[test]
fn every_value_knows_its_line_in_both_formats() {
    let node = yaml("# servers\nmcpServers:\n  llm:\n    env: {A: x,\n      B: 5}\n");
    let servers = entry(&node, "mcpServers");
    let env = entry(&entry(&servers.node, "llm").node, "env");
    assert_eq!((servers.line, env.line), (2, 4));
    assert_eq!(entry(&env.node, "A").line, 4);
    let five = entry(&env.node, "B");
    assert_eq!((five.line, five.node.line), (5, 5));
    assert_eq!(five.node.value, Value::Int(5, "5".into()));

    let node = parse(
        "# servers\n\n[mcpServers.llm.env]\nA = 'x'\nB = 0x1F\n",
        Format::Toml,
    )
    .unwrap();
    let env = entry(&entry(&entry(&node, "mcpServers").node, "llm").node, "env");
    assert_eq!(env.line, 3);
    let hexadecimal = entry(&env.node, "B");
    assert_eq!((hexadecimal.line, hexadecimal.node.line), (5, 5));
    assert_eq!(hexadecimal.node.value, Value::Int(31, "31".into()));
}

#[test]
fn plain_scalars_are_read_by_the_core_schema_and_what_is_ambiguous_stays_text() {
    for (text, value) in [
        ("~", Value::Null),
        ("", Value::Null),
        ("True", Value::Bool(true)),
        ("yes", Value::Text("yes".into())),
        ("-12", Value::Int(-12, "-12".into())),
        ("1.10", Value::Float(1.1, "1.10".into())),
        ("0o600", Value::Int(0o600, "384".into())),
        ("0600", Value::Text("0600".into())),
        ("10_485_760", Value::Text("10_485_760".into())),
        ("'5'", Value::Text("5".into())),
        ("!!str 5", Value::Text("5".into())),
        ("0x-5", Value::Text("0x-5".into())),
        ("1.2.3", Value::Text("1.2.3".into())),
        ("nan", Value::Text("nan".into())),
        ("\"a\\nb\"", Value::Text("a\nb".into())),
    ] {
        assert_eq!(
            entry(&yaml(&format!("k: {text}\n")), "k").node.value,
            value,
            "{text}"
        );
    }
    assert_eq!(yaml("").value, Value::Null);
    assert_eq!(yaml("# nothing\n").value, Value::Null);
}

#[test]
fn a_name_that_stands_twice_is_refused_with_both_lines() {
    assert_eq!(
        refused("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", Format::Yaml),
        "line 5: c: stands here a second time; the first is in line 3"
    );
    assert!(refused("a = 1\n\na = 2\n", Format::Toml).starts_with("line 3: "));
}

#[test]
fn aliases_and_merges_are_filled_in_and_cannot_run_away() {
    let node =
        yaml("base: &base {level: INFO, gzip: true}\nserver:\n  <<: *base\n  level: DEBUG\n");
    let server = &entry(&node, "server").node;
    assert_eq!(
        entry(server, "level").node.value,
        Value::Text("DEBUG".into())
    );
    assert_eq!(entry(server, "gzip").node.value, Value::Bool(true));

    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let alias = vec![format!("*a{}", n - 1); 10].join(", ");
        writeln!(laughs, "a{n}: &a{n} [{alias}]").unwrap();
    }
    assert!(refused(&laughs, Format::Yaml).contains("more than 100000 values"));
    assert!(refused(&format!("a: {}", "[".repeat(500)), Format::Yaml).starts_with("line 1: "));
    assert!(refused("a: &a [*a]\n", Format::Yaml).contains("line 1"));
}

#[test]
fn what_is_not_in_the_format_is_refused_in_its_line() {
    assert!(refused("a: 1\nb: [1, 2\n", Format::Yaml).starts_with("line "));
    assert!(refused("a: 1\n b: 2\n", Format::Yaml).starts_with("line 2: "));
    assert!(refused("a: 1\n---\nb: 2\n", Format::Yaml).contains("a second document"));
    assert!(refused("a = 1\nb = \n", Format::Toml).starts_with("line 2: "));
    assert!(refused("a = 99999999999999999999\n", Format::Toml).starts_with("line 1: "));
}

proptest::proptest! {
    /// Whatever stands in a file, there is a value or a reason with a line that the file has.
    #[test]
    fn no_text_is_too_odd(text in "([a-c]: |\\[|\\]|\\{|\\}|- |\n|  |\t|&a |\\*a|<<: |'|\"|\\||>|#|,|---\n|= |!!int |\\?|%|0x|1e5|é|\\PC){0,60}") {
        for format in [Format::Yaml, Format::Toml] {
            if let Err(error) = parse(&text, format) {
                proptest::prop_assert!(error.line >= 1 && error.line <= text.lines().count() + 2, "{error}");
                proptest::prop_assert!(!error.reason.is_empty());
            }
        }
    }
}

#[test]
fn what_is_nested_a_hundred_thousand_deep_is_refused() {
    for (text, format) in [
        ("[".repeat(100_000), Format::Yaml),
        ("a: ".to_owned() + &"{a: ".repeat(100_000), Format::Yaml),
        ("- ".repeat(100_000), Format::Yaml),
        ("a = ".to_owned() + &"[".repeat(100_000), Format::Toml),
        (format!("a{} = 1", ".a".repeat(100_000)), Format::Toml),
    ] {
        assert!(parse(&text, format).is_err());
    }
}
