//! What is a payload and what is text.
use super::*;
use proptest::prelude::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// Bytes that look random, the same every time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[3]
        })
        .collect()
}

fn image(len: usize) -> Vec<u8> {
    [PNG, &noise(len)].concat()
}

fn encode(data: &[u8], alphabet: &[u8; 64], padded: bool) -> String {
    let mut out = String::new();
    for chunk in data.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            if at <= chunk.len() {
                out.push(char::from(alphabet[(word >> (18 - 6 * at) & 63) as usize]));
            } else if padded {
                out.push('=');
            }
        }
    }
    out
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(data: &[u8]) -> String {
    encode(data, STANDARD, true)
}

fn lines(text: &str, length: usize, newline: &str) -> String {
    let pieces: Vec<&str> = text
        .as_bytes()
        .chunks(length)
        .map(|c| std::str::from_utf8(c).unwrap())
        .collect();
    pieces.join(newline)
}

fn expected(kind: &str, data: &[u8]) -> Payload {
    Payload {
        kind: kind.to_owned(),
        bytes: data.len() as u64,
        sha256: (data.len() <= MAX_HASHED).then(|| Sha256::digest(data).into()),
    }
}

#[test]
fn the_digest_is_the_known_one() {
    let data = vec![b'a'; 1_000_000];
    let payload = expected("text/plain", &data);
    assert_eq!(
        payload.digest().unwrap(),
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    );
    let mut json = Vec::new();
    payload.write_json(&mut json);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["bytes"], 1_000_000);
    assert_eq!(json["type"], "text/plain");
    assert_eq!(json["sha256"], payload.digest().unwrap());
}

#[test]
fn a_data_uri_is_a_payload_of_the_type_it_says() {
    for len in [200, 201, 202, 5000] {
        let data = image(len);
        let uri = format!("data:image/webp;base64,{}", base64(&data));
        assert_eq!(
            in_text(&uri),
            Some(Found::Whole(expected("image/webp", &data)))
        );
    }
    let data = image(300);
    for (head, kind) in [
        ("data:;base64,", "image/png"),
        ("data:application/octet-stream;base64,", "image/png"),
        ("DATA:Image/PNG;charset=utf-8;base64,", "image/png"),
        ("data:image/svg+xml;base64,", "image/svg+xml"),
    ] {
        let uri = format!(" {head}{}\n", base64(&data));
        assert_eq!(
            in_text(&uri),
            Some(Found::Whole(expected(kind, &data))),
            "{head}"
        );
    }
}

#[test]
fn within_text_a_payload_is_replaced_by_what_it_was_and_the_rest_stays() {
    let (one, two) = (image(300), noise(2000));
    let text = format!(
        "Grüße: ![x](data:image/png;base64,{}) and {{\"data\": \"{}\"}}, “end”",
        base64(&one),
        base64(&two)
    );
    let shown = format!(
        "Grüße: ![x]({}) and {{\"data\": \"{}\"}}, “end”",
        expected("image/png", &one).text(),
        expected("application/octet-stream", &two).text()
    );
    assert_eq!(in_text(&text), Some(Found::Inside(shown, 2)));
    // The other way round: what has no sign stands first.
    let text = format!(
        "{} then data:image/gif;base64,{}",
        base64(&two),
        base64(&one)
    );
    let Some(Found::Inside(shown, 2)) = in_text(&text) else {
        panic!()
    };
    assert!(shown.ends_with(&format!(" then {}", expected("image/gif", &one).text())));
}

#[test]
fn base64_is_found_in_either_alphabet_with_and_without_padding_and_in_lines() {
    for len in [768, 769, 770, 5000] {
        let data = noise(len);
        let found = Some(Found::Whole(expected("application/octet-stream", &data)));
        for text in [
            base64(&data),
            encode(&data, URL_SAFE, true),
            encode(&data, URL_SAFE, false),
            encode(&data, STANDARD, false),
            lines(&base64(&data), 76, "\n"),
            lines(&base64(&data), 64, "\r\n"),
            lines(&base64(&data), 76, "\n") + "\n",
        ] {
            assert_eq!(in_text(&text), found, "{len}: {}", &text[text.len() - 80..]);
            assert!(may_be_in(text.as_bytes()));
        }
    }
}

#[test]
fn what_json_escapes_within_text_is_read_as_what_it_was() {
    let data = image(3000);
    let broken = lines(&base64(&data), 76, "\n");
    for text in [
        serde_json::json!({"source": {"type": "base64", "data": broken}}).to_string(),
        serde_json::json!({"source": {"type": "base64", "data": lines(&base64(&data), 64, "\r\n")}}).to_string(),
        format!("{{\"data\": \"{}\"}}", base64(&data).replace('/', "\\/")),
        format!("{{\"url\": \"data:image\\/png;base64,{}\"}}", base64(&data).replace('/', "\\/")),
    ] {
        let Some(Found::Inside(shown, 1)) = in_text(&text) else {
            panic!("{text}")
        };
        assert!(shown.contains(&expected("image/png", &data).text()), "{shown}");
        assert!(shown.len() < 200, "{shown}");
    }
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    let cases: &[(&[u8], &str)] = &[
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"GIF89a\x01\0", "image/gif"),
        (b"RIFF\x24\x08\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x24\x08\0\0WAVEfmt ", "audio/wav"),
        (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
        (b"PK\x03\x04\x14\0", "application/zip"),
        (b"\x1f\x8b\x08\0\0", "application/gzip"),
        (b"ID3\x04\0\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0", "audio/mpeg"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"OggS\0\x02", "audio/ogg"),
    ];
    for (head, kind) in cases {
        let data = [head, &noise(1000)[..]].concat();
        assert_eq!(media_type(&data), Some(*kind));
        assert_eq!(in_bytes(&data, data.len()), Some(expected(kind, &data)));
        assert_eq!(
            in_text(&base64(&data)),
            Some(Found::Whole(expected(kind, &data)))
        );
    }
    for head in [
        &b"PNG"[..],
        b"ID3 is an algorithm",
        b"GIF",
        b"",
        b"\xff\xff\xff\xff",
        b"a ftyp is not it",
    ] {
        assert_eq!(media_type(head), None);
    }
}

#[test]
fn bytes_that_are_text_of_any_encoding_stay() {
    let latin = "Die Größe der Straße ändert sich täglich. ".repeat(100);
    let latin: Vec<u8> = latin
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    for text in [
        latin,
        "日本語の文章です。".repeat(200).into_bytes(),
        b"\x1b[31mred\x1b[0m plain text\r\n".repeat(100),
        noise(1000),
        image(30),
    ] {
        assert_eq!(in_bytes(&text, text.len()), None);
    }
    let large = noise(MAX_HASHED + 1);
    let payload = in_bytes(&large, large.len()).unwrap();
    assert_eq!((payload.bytes, payload.sha256), (large.len() as u64, None));
    assert_eq!(payload.text(), "<application/octet-stream, 1048577 bytes>");
}

#[test]
fn a_payload_that_is_too_large_to_hash_has_its_length_all_the_same() {
    let data = image(MAX_HASHED);
    assert_eq!(
        in_text(&base64(&data)),
        Some(Found::Whole(expected("image/png", &data)))
    );
}

#[test]
fn what_only_looks_similar_stays_text() {
    let digit = |b: u8| char::from_digit(u32::from(b % 16), 16).unwrap();
    let hex: String = noise(8000).into_iter().map(digit).collect();
    let words = [
        "request", "Handler", "userId", "is", "a", "getAll2", "HTTP", "values",
    ];
    let identifiers = |by: &str| {
        let picked: Vec<&str> = noise(1000)
            .iter()
            .map(|b| words[usize::from(b % 8)])
            .collect();
        picked.join(by)
    };
    let token = |len| encode(&noise(len), URL_SAFE, false);
    let json = "{\"alg\":\"RS256\",\"roles\":[\"a1\",\"B2\"]}".repeat(40);
    let jwt = format!(
        "eyJ{}.eyJ{}.{}",
        token(30),
        &base64(json.as_bytes())[3..],
        token(256)
    );
    for text in [
        "The quick brown fox jumps over the lazy dog. ".repeat(500),
        "日本語".repeat(2000),
        hex.clone(),
        hex.to_uppercase(),
        lines(&hex, 64, "\n"),
        "x".repeat(100_000),
        "ACGT".repeat(5000),
        "0123456789".repeat(1000),
        identifiers(""),
        identifiers("_"),
        identifiers("-"),
        format!("/{}", identifiers("/")),
        identifiers("\n"),
        // A list of keys or digests, one in each line.
        (0..100).map(|n| encode(&noise(32 + n)[n..], STANDARD, true)).collect::<Vec<_>>().join("\n"),
        (0..100).map(|n| encode(&noise(27 + n)[n..], URL_SAFE, false)).collect::<Vec<_>>().join("\n"),
        "!function(e,t){\"object\"==typeof exports?module.exports=t():e.x2=t()}(this,function(){return 1});".repeat(50),
        token(700),
        jwt,
        format!("data:text/plain,{}", "hello%20world".repeat(50)),
        format!("no uri: base64,{} in it", token(600)),
        format!("data:image/png;base64,{} {}", token(30), "and so on ".repeat(50)),
        "data:image/png;base64,".repeat(500),
        "\\n".repeat(5000),
        "\\".repeat(5000),
        "=".repeat(5000),
    ] {
        assert_eq!(in_text(&text), None, "{}", &text[..100]);
    }
}

#[test]
fn lines_of_base64_end_where_the_text_goes_on() {
    let data = noise(57 * 30);
    let text = format!(
        "Attached:\n{}\nThe end, as it were.",
        lines(&base64(&data), 76, "\n")
    );
    let shown = format!(
        "Attached:\n{}\nThe end, as it were.",
        expected("application/octet-stream", &data).text()
    );
    assert_eq!(in_text(&text), Some(Found::Inside(shown, 1)));
}

proptest! {
    #[test]
    fn any_payload_in_any_text_is_found_and_nothing_else_is_changed(
        before in "[a-z ,.é\\n]{0,600}", after in "[ ,.é\\n][a-z ,.é\\n]{0,600}",
        len in 800_usize..4000, uri in any::<bool>(),
    ) {
        let data = noise(len);
        let sign = if uri { "data:audio/wav;base64," } else { "" };
        let text = format!("{before} {sign}{}{after}", base64(&data));
        let kind = if uri { "audio/wav" } else { "application/octet-stream" };
        let payload = expected(kind, &data);
        match in_text(&text).unwrap() {
            Found::Whole(found) => {
                prop_assert_eq!(found, payload);
                prop_assert!(before.trim().is_empty() && after.trim().is_empty());
            }
            Found::Inside(shown, count) => {
                prop_assert_eq!(count, 1);
                prop_assert_eq!(shown, format!("{before} {}{after}", payload.text()));
            }
        }
    }

    #[test]
    fn no_text_makes_it_fail(text in "([A-Za-z0-9+/=_\\-]{0,300}|[\\\\nr/\r\n=]{0,5}|data:|;|base64,|\\PC){0,30}") {
        if let Some(Found::Inside(shown, count)) = in_text(&text) {
            prop_assert!(count > 0 && shown.len() < text.len());
            prop_assert!(may_be_in(text.as_bytes()));
        }
    }

    #[test]
    fn any_bytes_are_decoded_as_they_were(data in proptest::collection::vec(any::<u8>(), 200..3000)) {
        let uri = format!("data:a/b;base64,{}", base64(&data));
        prop_assert_eq!(in_text(&uri), Some(Found::Whole(expected("a/b", &data))));
    }
}
