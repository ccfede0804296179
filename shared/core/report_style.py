"""The style sheet of the report's page: light and dark by the reader's setting, contrast at least 4.5 to 1, colour never the only sign."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #566072; --paper: #f6f7f9; --card: #ffffff; --line: #dde1e8; --bar: #3f6fb5;
  --pass: #16653a; --pass-bg: #e0f3e7; --warn: #7a4b00; --warn-bg: #fdf0d2; --halt: #9b1c1c; --halt-bg: #fde4e4; --idle-bg: #e9ecf1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --soft: #a7b0c0; --paper: #14171d; --card: #1d2129; --line: #343a46; --bar: #7ea6e3;
  --pass: #8fdcae; --pass-bg: #143222; --warn: #f3cd84; --warn-bg: #3a2b0c; --halt: #ffaeae; --halt-bg: #431a1a; --idle-bg: #2a303b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
.banner { border-radius: .6rem; padding: 1.1rem 1.4rem; border: 1px solid var(--line);
  border-left: .5rem solid currentColor; background: var(--card); }
.banner h1 { margin: 0 0 .6rem; font-size: 1.35rem; line-height: 1.3; }
.banner.passed { color: var(--pass); background: var(--pass-bg); } .banner.blocked { color: var(--warn); background: var(--warn-bg); }
.banner.failed, .banner.unknown { color: var(--halt); background: var(--halt-bg); }
.facts { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 0; color: var(--ink); }
.facts dt { font-size: .8rem; color: var(--soft); } .facts dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
section { margin-top: 1.4rem; padding: 1rem 1.4rem 1.2rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
h2 { margin: 0 0 .6rem; font-size: 1.05rem; }
.scrolls { overflow-x: auto; } .scrolls + .scrolls { margin-top: 1rem; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; color: var(--soft); font-size: .85rem; padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0; border-top: 1px solid var(--line); font-weight: normal; }
thead th { border-top: 0; font-size: .8rem; color: var(--soft); white-space: nowrap; }
td { font-variant-numeric: tabular-nums; } .number { text-align: right; } .instant { white-space: nowrap; } small { color: var(--soft); }
code, pre { font: .88em/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
pre { margin: 0; padding: .7rem .9rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--paper); border-radius: .4rem; }
.badge { display: inline-block; padding: 0 .5rem; border-radius: 1rem; font-size: .82rem; white-space: nowrap; background: var(--idle-bg); }
.badge.pass { color: var(--pass); background: var(--pass-bg); } .badge.warn, .badge.blocked { color: var(--warn); background: var(--warn-bg); }
.badge.halt { color: var(--halt); background: var(--halt-bg); }
.bar { display: inline-block; height: .7rem; min-width: 2px; border-radius: .2rem; background: var(--bar); }
"""
