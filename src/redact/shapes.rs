//! Tokens known by their shape: how each begins, what it is made of, and how long it is at least.

use super::rules::{
    ANTHROPIC, AWS, AZURE, CHAT, GITHUB, GITLAB, GOOGLE, HUGGINGFACE, LLM, OPENAI, OPENROUTER,
    REGISTRY, RuleId, SERVICE, SLACK, STRIPE,
};
use super::scan::Class;

/// What else there is to a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing: the beginning is distinctive.
    Plain,
    /// Not letters alone, nor words: what begins so may be something else.
    Opaque,
    /// Exactly as long as the least.
    Exact,
    /// Begins with `sk-`: many providers'.
    Sk,
    /// The beginning stands after a bot's number: `123456:AA…`.
    Telegram,
    /// The beginning stands after three characters.
    Azure,
    /// The beginning is a path of a URL, and stays.
    Webhook,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// How it begins, in its own case.
    pub(super) begins: &'static str,
    pub(super) rule: RuleId,
    /// What follows.
    pub(super) class: Class,
    /// How much of it at least.
    pub(super) least: usize,
    pub(super) look: Look,
}

const fn shape(
    begins: &'static str,
    rule: RuleId,
    class: Class,
    least: usize,
    look: Look,
) -> Shape {
    Shape {
        begins,
        rule,
        class,
        least,
        look,
    }
}

const fn plain(begins: &'static str, rule: RuleId, class: Class, least: usize) -> Shape {
    shape(begins, rule, class, least, Look::Plain)
}

use Class::{Alnum, Dotted, Path, Upper, Word};

pub(super) const SHAPES: &[Shape] = &[
    shape("sk-", OPENAI, Word, 17, Look::Sk),
    plain("sess-", OPENAI, Alnum, 36),
    plain("AIza", GOOGLE, Word, 30),
    plain("ya29.", GOOGLE, Dotted, 20),
    plain("GOCSPX-", GOOGLE, Word, 20),
    plain("1//0", GOOGLE, Word, 30),
    plain("AQ.Ab", GOOGLE, Word, 30),
    plain("hf_", HUGGINGFACE, Alnum, 30),
    plain("api_org_", HUGGINGFACE, Alnum, 30),
    // Models and their tools.
    plain("gsk_", LLM, Alnum, 30),
    plain("xai-", LLM, Alnum, 40),
    plain("pplx-", LLM, Alnum, 32),
    plain("r8_", LLM, Alnum, 30),
    plain("tvly-", LLM, Word, 24),
    plain("nvapi-", LLM, Word, 40),
    shape("fw_", LLM, Alnum, 20, Look::Opaque),
    plain("csk-", LLM, Alnum, 32),
    plain("tgp_v1_", LLM, Word, 30),
    plain("lsv2_pt_", LLM, Word, 24),
    plain("lsv2_sk_", LLM, Word, 24),
    plain("ls__", LLM, Alnum, 24),
    plain("pcsk_", LLM, Word, 30),
    plain("jina_", LLM, Word, 40),
    shape("fc-", LLM, Alnum, 32, Look::Opaque),
    plain("e2b_", LLM, Alnum, 32),
    plain("sbp_", SERVICE, Alnum, 32),
    plain("sb_secret_", SERVICE, Word, 20),
    plain("ghp_", GITHUB, Word, 20),
    plain("gho_", GITHUB, Word, 20),
    plain("ghu_", GITHUB, Word, 20),
    plain("ghs_", GITHUB, Word, 20),
    plain("ghr_", GITHUB, Word, 20),
    plain("github_pat_", GITHUB, Word, 20),
    plain("glpat-", GITLAB, Dotted, 16),
    plain("gldt-", GITLAB, Dotted, 16),
    plain("glrt-", GITLAB, Dotted, 16),
    plain("glrtr-", GITLAB, Dotted, 16),
    plain("glcbt-", GITLAB, Dotted, 16),
    plain("glptt-", GITLAB, Dotted, 16),
    plain("glft-", GITLAB, Dotted, 16),
    plain("glimt-", GITLAB, Dotted, 16),
    plain("glagent-", GITLAB, Dotted, 16),
    plain("gloas-", GITLAB, Dotted, 16),
    plain("glsoat-", GITLAB, Dotted, 16),
    plain("glffct-", GITLAB, Dotted, 16),
    plain("glwt-", GITLAB, Dotted, 16),
    plain("GR1348941", GITLAB, Word, 16),
    plain("xoxa-", SLACK, Word, 15),
    plain("xoxb-", SLACK, Word, 15),
    plain("xoxc-", SLACK, Word, 15),
    plain("xoxd-", SLACK, Word, 15),
    plain("xoxe-", SLACK, Word, 15),
    plain("xoxe.", SLACK, Dotted, 16),
    plain("xoxo-", SLACK, Word, 15),
    plain("xoxp-", SLACK, Word, 15),
    plain("xoxr-", SLACK, Word, 15),
    plain("xoxs-", SLACK, Word, 15),
    plain("xapp-", SLACK, Word, 16),
    shape("hooks.slack.com/services/", SLACK, Path, 16, Look::Webhook),
    shape("hooks.slack.com/workflows/", SLACK, Path, 16, Look::Webhook),
    shape("AKIA", AWS, Upper, 16, Look::Exact),
    shape("ASIA", AWS, Upper, 16, Look::Exact),
    shape("ABIA", AWS, Upper, 16, Look::Exact),
    shape("ACCA", AWS, Upper, 16, Look::Exact),
    plain("sk_live_", STRIPE, Alnum, 12),
    plain("sk_test_", STRIPE, Alnum, 12),
    plain("rk_live_", STRIPE, Alnum, 12),
    plain("rk_test_", STRIPE, Alnum, 12),
    plain("whsec_", STRIPE, Class::Token68, 20),
    // Chat services.
    shape(":AA", CHAT, Word, 32, Look::Telegram),
    shape("discord.com/api/webhooks/", CHAT, Path, 40, Look::Webhook),
    shape(
        "discordapp.com/api/webhooks/",
        CHAT,
        Path,
        40,
        Look::Webhook,
    ),
    shape(
        ".webhook.office.com/webhookb2/",
        CHAT,
        Path,
        40,
        Look::Webhook,
    ),
    // Registries.
    plain("npm_", REGISTRY, Alnum, 30),
    plain("pypi-", REGISTRY, Word, 50),
    plain("dckr_pat_", REGISTRY, Word, 20),
    plain("rubygems_", REGISTRY, Alnum, 40),
    // Azure's storage keys and secrets of applications come after their names; these do not.
    shape("8Q~", AZURE, Class::Token68, 30, Look::Azure),
    // Others.
    plain("SG.", SERVICE, Dotted, 40),
    plain("dop_v1_", SERVICE, Alnum, 40),
    plain("doo_v1_", SERVICE, Alnum, 40),
    plain("dor_v1_", SERVICE, Alnum, 40),
    plain("hvs.", SERVICE, Word, 20),
    plain("hvb.", SERVICE, Word, 20),
    plain("hvr.", SERVICE, Word, 20),
    plain("lin_api_", SERVICE, Alnum, 30),
    plain("glsa_", SERVICE, Word, 30),
    plain("glc_", SERVICE, Class::Token68, 30),
    plain("ntn_", SERVICE, Alnum, 30),
    plain("secret_", SERVICE, Alnum, 40),
    plain("shpat_", SERVICE, Alnum, 30),
    plain("shpss_", SERVICE, Alnum, 30),
    plain("shpca_", SERVICE, Alnum, 30),
    plain("sq0atp-", SERVICE, Word, 20),
    plain("sq0csp-", SERVICE, Word, 20),
    plain("PMAK-", SERVICE, Word, 40),
    plain("ATATT3", SERVICE, Class::Token68, 40),
    plain("ATCTT3", SERVICE, Class::Token68, 40),
    plain("figd_", SERVICE, Word, 30),
    plain("sntrys_", SERVICE, Class::Token68, 40),
    plain("sntryu_", SERVICE, Alnum, 40),
    plain("dapi", SERVICE, Alnum, 32),
    plain("dp.pt.", SERVICE, Alnum, 30),
    plain("dp.st.", SERVICE, Dotted, 30),
    plain("pul-", SERVICE, Alnum, 40),
    plain("phx_", SERVICE, Word, 30),
    plain("NRAK-", SERVICE, Alnum, 24),
    plain("AGE-SECRET-KEY-1", SERVICE, Upper, 40),
    plain("ops_eyJ", SERVICE, Class::Token68, 60),
    plain("LTAI", SERVICE, Alnum, 17),
    plain("EAACEdEose0cBA", SERVICE, Alnum, 20),
];

/// What `sk-` goes on with, and whether that alone is distinctive. Without any it is `OpenAI`'s, or one of many who copied it.
pub(super) const SK: &[(&str, RuleId, bool)] = &[
    ("ant-", ANTHROPIC, true),
    ("or-v", OPENROUTER, true),
    ("or-", OPENROUTER, false),
    ("proj-", OPENAI, true),
    ("svcacct-", OPENAI, true),
    ("admin-", OPENAI, false),
    ("None-", OPENAI, true),
    ("lf-", LLM, true),
];
