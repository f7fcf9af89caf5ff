"""The style sheet of the HTML report: light and dark by the reader's preference, light on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #16191d; --paper: #fff; --soft: #5a626c; --line: #d4d9df; --fill: #f2f4f6;
  --real: #000; --generated: #b86e00; --band: #b8bec6; --bad: #a63a00; --good: #00664a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14171a; --soft: #9aa4af; --line: #3a4149;
  --fill: #1e2328; --real: #fff; --generated: #f0a832; --band: #4a525b; --bad: #ff9463; --good: #4fd1a5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 .25rem; }
p, li, dd { overflow-wrap: anywhere; max-width: 48rem; }
.verdict { font-size: 1.15rem; font-weight: 600; padding: .6rem .8rem; background: var(--fill);
  border-left: .4rem solid var(--soft); }
.verdict.told { border-color: var(--bad); }
.verdict.same { border-color: var(--good); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; font-weight: 400; }
thead th { color: var(--soft); border-bottom: 1px solid var(--line); }
.group th { font-weight: 600; padding-top: .8rem; }
tr.differs td, tr.differs th { color: var(--bad); }
.pairs, .curves { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-size: .85rem; color: var(--soft); grid-column: 1 / -1; }
img { width: 100%; height: auto; display: block; image-rendering: pixelated; }
svg { width: 100%; height: auto; display: block; }
svg text { font: 11px system-ui, sans-serif; fill: var(--ink); }
svg path { fill: none; stroke-width: 1; vector-effect: non-scaling-stroke; }
svg .grid { stroke: var(--line); stroke-width: .5; }
svg .frame, svg .unity { stroke: var(--ink); }
svg .limit { stroke: var(--soft); stroke-dasharray: 2 3; }
svg .band { fill: var(--band); opacity: .55; }
svg .real { stroke: var(--real); stroke-width: 1.8; }
svg .reference { stroke: var(--soft); stroke-dasharray: 1 3; stroke-width: 1.4; }
svg .generated { stroke: var(--generated); stroke-width: 2; stroke-dasharray: 6 3; }
.key { display: inline-block; width: 1.6em; margin: 0 .3em 0 .6em; vertical-align: middle;
  border-top: 2px solid var(--real); }
.key.generated { border-top: 2px dashed var(--generated); }
.key.reference { border-top: 2px dotted var(--soft); }
.key.band { border-top: .7em solid var(--band); }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .1rem 1rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; }
pre { overflow: auto; background: var(--fill); padding: .8rem; font-size: .85rem; }
@media (max-width: 40rem) {
  thead { position: absolute; clip-path: inset(50%); height: 1px; width: 1px; overflow: hidden; }
  table, tbody { display: block; }
  th, td { padding: 0; }
  tbody tr { display: grid; grid-template-columns: 1fr auto; gap: 0 .8rem; border-bottom: 1px solid var(--line);
    padding: .3rem 0; }
  .group th { grid-column: 1 / -1; padding-top: .8rem; }
  td[data-label=scales], td[data-label=verdict], td[data-label=p] { text-align: right; }
  td[data-label=verdict] { grid-area: 2 / 2; }
  td[data-label=perfect], td[data-label=p] { grid-row: 3; color: var(--soft); }
  td[data-label=perfect]::before { content: "perfect: "; }
  td[data-label=p]::before { content: "p = "; }
  dl dl { grid-template-columns: 1fr; }
  dl { grid-template-columns: 1fr; }
}
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #444; --line: #bbb; --fill: #f2f2f2; --real: #000;
    --generated: #b86e00; --band: #b8bec6; --bad: #a63a00; --good: #00664a; }
  body { font-size: 10pt; }
  tr, .pair { break-inside: avoid; }
  pre { white-space: pre-wrap; }
}
"""
