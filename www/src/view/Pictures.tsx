/** Three pictures of one token: asked twice, pushed apart, and who wins. */

import { base, leaned, STOPS, stop, told } from "../demo.ts";
import { type Candidate, candidatesOf, winnerOf, wordAt } from "../pictures.ts";
import type { Run } from "../run.ts";
import { inspected } from "../state.ts";
import { strings } from "../strings.ts";
import { shown, Token } from "./Inspector.tsx";
import { percent } from "./percent.ts";

const MOST = 5;

export function Pictures() {
  const table = strings.demo.pictures;
  const at = inspected.value;
  const isPlain = stop.value === "without";
  const run = (isPlain ? told.value : (at?.run ?? leaned.value))?.value;
  const own = run?.header.method === "base" ? told.value?.value : run;
  // What is pointed at, else the first word that another would have been without the wish.
  const isPicked = !isPlain && at && own === run;
  const picked = isPicked ? at.index : isPlain || !own ? 0 : flipIn(own);
  const token = own?.tokens[picked];
  const candidates = token ? candidatesOf(token, MOST) : [];
  if (!own || !token || candidates.length === 0) return null;
  // Of the chosen token the whole word is known, and of what the plain answer begins with.
  const words = new Map([[token.id, wordAt(own, picked)]]);
  const plain = base.value?.value;
  if (plain && picked === 0) words.set(plain.tokens[0]?.id, wordAt(plain, 0));
  const nameOf = ({ id, piece }: Candidate) => shown(words.get(id) ?? piece).replace(/^␣/, "");
  const k = isPlain ? undefined : STOPS.find(({ name }) => name === stop.value)?.k;
  const end = isPlain ? "base" : "final";
  const [first, last] = [winnerOf(candidates, "base"), winnerOf(candidates, end)];
  const isFlipped = first !== undefined && last !== undefined && first.id !== last.id;
  return (
    <section class="pictures" aria-labelledby="pictures-heading">
      <h2 id="pictures-heading">{table.heading}</h2>
      <p class="hint">{table.which(beginningOf(own, picked), picked)}</p>
      <ol>
        <li>
          <h3>{table.asked}</h3>
          <p>{table.askedHelp}</p>
          <Bars candidates={candidates} nameOf={nameOf} parts={["base", "told"]} />
          <p class="hint legend">
            <span class="swatch" data-part="base" /> {table.parts.base} <span class="swatch" data-part="told" /> {table.parts.told}
          </p>
        </li>
        <li>
          <h3>{table.pushed}</h3>
          <p>{table.pushedHelp(k)}</p>
          <Slopes candidates={candidates} nameOf={nameOf} isPushed={k !== undefined && k > 0} named={[first, last]} />
        </li>
        <li>
          <h3>{isFlipped ? table.flipped : table.stays}</h3>
          <p>{table.winner(first ? nameOf(first) : "", last ? nameOf(last) : "")}</p>
          <Bars candidates={candidates} nameOf={nameOf} parts={[end]} winner={last} loser={isFlipped ? first : undefined} />
        </li>
      </ol>
      <details>
        <summary>{table.numbers}</summary>
        <div class="numbers">
          <Token run={own} token={token} />
        </div>
      </details>
    </section>
  );
}

/** The first token that is not the plain prompt's favourite, or the first one. */
function flipIn({ tokens }: Run): number {
  return Math.max(0, tokens.findIndex(({ id, top }) => top?.base?.[0] && top.base[0].id !== id));
}

/** The answer up to that token, its end where it is long. */
function beginningOf(run: Run, index: number): string {
  const text = run.tokens.slice(0, index).map((token) => token.text).join("").trim();
  return text.length > 48 ? `…${text.slice(-47).trimStart()}` : text;
}

type Part = "base" | "told" | "final";

type Naming = (candidate: Candidate) => string;

function Bars(props: { candidates: Candidate[]; nameOf: Naming; parts: Part[]; winner?: Candidate | undefined; loser?: Candidate | undefined }) {
  const { candidates, nameOf, parts, winner, loser } = props;
  const words = strings.demo.pictures;
  return (
    <dl class="bars">
      {candidates.map((candidate) => (
        <div key={candidate.id} data-winner={candidate === winner} data-loser={candidate === loser}>
          <dt>
            {nameOf(candidate)}
          </dt>
          {parts.map((part) => {
            const { p, isBound } = candidate[part];
            return (
              <dd key={part}>
                <span class="visually-hidden">{words.parts[part]}: </span>
                <span class="line" data-part={part} style={{ inlineSize: `${(isBound ? 0 : p) * 100}%` }} />
                <span>{isBound ? strings.inspector.below(percent(p)) : percent(p)}</span>
              </dd>
            );
          })}
        </div>
      ))}
    </dl>
  );
}

/** The nats below certainty that the picture reaches down to. */
const DEPTH = 12;

/** Each candidate's way from the plain prompt over the told one to the end, on a logarithmic scale; first and last winner by name. */
function Slopes(props: { candidates: Candidate[]; nameOf: Naming; isPushed: boolean; named: (Candidate | undefined)[] }) {
  const { candidates, nameOf, isPushed, named } = props;
  const words = strings.demo.pictures;
  const [width, height] = [330, 150];
  const y = (p: number) => (Math.min(-Math.log(Math.max(p, 1e-12)), DEPTH) / DEPTH) * height;
  const places = [30, 140, 250] as const;
  const ways = candidates.map((candidate) => {
    const { base, told, final } = candidate;
    const points = [base, told, isPushed ? final : told];
    return { candidate, from: base.p, over: told.p, to: (isPushed ? final : told).p, points };
  });
  const label = words.slopes(ways.map(({ candidate, from, over, to }) => ({ piece: nameOf(candidate), base: percent(from), told: percent(over), final: percent(to) })));
  return (
    <figure>
      <svg class="slopes" viewBox={`0 -10 ${width} ${height + 32}`} role="img" aria-label={label}>
        {places.map((x, at) => (
          <g key={x}>
            <line class="axis" x1={x} x2={x} y1={0} y2={height} />
            <text x={x} y={height + 18} text-anchor="middle">
              {[words.parts.base, words.parts.told, words.parts.final][at]}
            </text>
          </g>
        ))}
        {ways.map(({ candidate, from, over, to, points }) => (
          <g key={candidate.id} data-up={to > from}>
            <polyline points={`${places[0]},${y(from)} ${places[1]},${y(over)}`} />
            <polyline class="push" points={`${places[1]},${y(over)} ${places[2]},${y(to)}`} />
            {/* Hollow where it is at most that. */}
            {points.map(({ p, isBound }, at) => (
              <circle key={at} class={isBound ? "hollow" : ""} cx={places[at]} cy={y(p)} r={at === 2 ? 4.5 : 3.5} />
            ))}
            {named.includes(candidate) && (
              <text x={places[2] + 9} y={y(to) + 4}>
                {nameOf(candidate)}
              </text>
            )}
          </g>
        ))}
      </svg>
    </figure>
  );
}
