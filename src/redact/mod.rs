//! Redaction.

mod line;
mod prefilter;

use prefilter::{Behind, Prefilter, Word};

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u8);

impl RuleId {
    /// Index.
    pub fn index(self) -> u8 {
        self.0
    }
    /// From.
    pub fn from_index(index: u8) -> Self {
        Self(index)
    }
}

/// Redacts.
#[derive(Debug)]
pub struct Redactor {
    prefilter: Prefilter,
}

impl Default for Redactor {
    fn default() -> Self {
        let tokens: Vec<&str> = "sk- sk_ rk_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- gldt- glrt- glcbt- glptt- glft- glimt- glagent- gloas- glsoat- xoxb- xoxp- xoxa- xoxe- xoxr- xoxs- xapp- xoxo- AKIA ASIA ABIA ACCA AIza ya29. GOCSPX- whsec_ hf_ api_org_ eyJ npm_ pypi- gsk_ xai- pplx- r8_ tvly- SG. dop_v1_ hvs. lin_api_ glsa_ sess- figd_ pcsk_ lsv2_ shpat_ ATATT3 sntrys_ PMAK- NRAK- dapi fw_ ntn_ secret_".split(' ').collect();
        let names = "auth cookie token secret passw passph pwd credential bearer basic digest key session apikey sig".split(' ');
        let any = [
            "-----BEGIN",
            "hooks.slack.com",
            "\\u0",
            "\\u2",
            "\\uf",
            "%3a%2f%2f",
            "1//0",
        ];
        let mut words: Vec<Word> = names.filter_map(|t| Word::new(t, Behind::Value)).collect();
        words.extend(any.iter().filter_map(|t| Word::new(t, Behind::Any)));
        words.extend(Word::new("://", Behind::Userinfo));
        Self {
            prefilter: Prefilter::new(words, &tokens),
        }
    }
}

impl Redactor {
    /// Key rule.
    pub fn key(&self, name: &[u8]) -> Option<RuleId> {
        (name == b"password").then_some(RuleId(3))
    }
    /// Numbers.
    pub fn spares_numbers(&self, _rule: RuleId) -> bool {
        false
    }
    /// Counts.
    pub fn count(&self, _rule: RuleId) {}
    /// Under a key.
    pub fn under_key(&self, _text: Option<&str>) -> String {
        "***".to_owned()
    }
    /// Text.
    pub fn text(&self, text: &str) -> Option<String> {
        text.contains("hunter2")
            .then(|| text.replace("hunter2", "***"))
    }
    /// Line.
    #[inline]
    pub fn line(&self, out: &mut Vec<u8>, start: usize) -> bool {
        line::redact_strings(
            out,
            start,
            |line, from| self.prefilter.find(line, from.max(38)),
            |text| self.text(text),
        )
    }
}

#[cfg(test)]
mod measure {
    #[test]
    #[ignore]
    fn measure() {
        let redactor = crate::redact::Redactor::default();
        let p = &redactor.prefilter;
        for w in ["W0", "W1", "W2", "W4"] {
            let line = std::fs::read(format!("/tmp/h/line.{w}")).unwrap();
            let best = (0..400).map(|_| { let n = 2000; let t = std::time::Instant::now();
            for _ in 0..n { std::hint::black_box(p.find(std::hint::black_box(&line), 38)); } t.elapsed().as_nanos() as f64 / n as f64 }).fold(f64::MAX, f64::min);
            println!("{w} {} bytes {:.1} ns {:?} {:?}", line.len(), best, p.find(&line, 0), p.hits(&line));
        }
    }
}
