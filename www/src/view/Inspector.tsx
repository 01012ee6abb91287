/** What went on at one token, and over the whole answer. */

import { type Signal, useSignal } from "@preact/signals";
import { canFork, fork } from "../ask.ts";
import { leanOf, liftOf, referenceOf, type Run, type RunToken } from "../run.ts";
import { asking, chosenToken, hoveredToken, inspected, view } from "../state.ts";
import { strings } from "../strings.ts";
import { percent } from "./percent.ts";

export function Inspector() {
  const at = inspected.value;
  // The first view has pictures of its own.
  if (view.value.kind === "recorded") return null;
  const run = at?.run.value;
  const token = at && run?.tokens[at.index];
  return (
    <aside class="inspector" aria-labelledby="inspector-heading" data-open={chosenToken.value !== undefined}>
      <div class="line">
        <h2 id="inspector-heading">{strings.inspector.heading}</h2>
        {chosenToken.value && (
          <button
            type="button"
            class="small"
            aria-label={strings.inspector.close}
            onClick={() => {
              chosenToken.value = undefined;
              hoveredToken.value = undefined;
            }}
          >
            ✕
          </button>
        )}
      </div>
      {run && token ? <Token run={run} token={token} of={at.run} /> : <p class="hint">{strings.inspector.none}</p>}
    </aside>
  );
}

export function Token({ run, token, of }: { run: Run; token: RunToken; of?: Signal<Run> }) {
  const lift = liftOf(token, referenceOf(run));
  const isAligned = run.header.method !== "base";
  return (
    <>
      <p class="piece">
        <code>{shown(token.piece ?? token.text)}</code>{" "}
        <span class="hint">{strings.inspector.token(token.index, run.tokens.length)}</span>
      </p>
      {token.top ? (
        <>
          {isAligned && lift !== undefined && <p>{describeLift(lift)}</p>}
          <Candidates token={token} columns={columnsOf(run)} of={of} />
          <p class="hint">{strings.inspector.facts(leanOf(run, token.k), token.kl ?? 0, token.entropy ?? 0)}</p>
          {token.iterates && token.iterates.length > 1 && <Iterates token={token} />}
        </>
      ) : (
        <p class="hint">{strings.answer.untraced}</p>
      )}
      {isAligned && run.tokens.length > 1 && (
        <section class="plots">
          <h3>{strings.inspector.plots}</h3>
          {run.tokens.some(({ k }) => k !== token.k) && (
            <Plot name={strings.inspector.strengthPlot} values={run.tokens.map(({ k }) => leanOf(run, k))} at={token.index} />
          )}
          {run.tokens.every(({ kl }) => kl !== undefined) && (
            <Plot name={strings.inspector.klPlot} values={run.tokens.map(({ kl = 0 }) => kl)} at={token.index} />
          )}
        </section>
      )}
    </>
  );
}

/** White space made visible. */
export function shown(piece: string): string {
  return piece.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length)) || "∅";
}

function describeLift(lift: number): string {
  const factor = Math.exp(Math.abs(lift));
  if (factor < 1.05) return strings.inspector.same;
  return strings.inspector.lift(factor, lift > 0);
}

/** The streams that stand in the table: base, pref or pref1 and so on, final. */
function columnsOf(run: Run): { name: string; label: string }[] {
  const labels: Record<string, string> = { base: strings.inspector.base, pref: strings.inspector.pref };
  const streams = run.header.streams.map(({ name }) => ({ name, label: labels[name] ?? name }));
  // Of the plain answer, base is all there is.
  if (run.header.method === "base") return streams;
  return [...streams, { name: "final", label: strings.inspector.final }];
}

/** A candidate and how likely it was in each column; undefined where it was not among that one's best. */
interface Candidate {
  id: number;
  piece: string;
  probabilities: (number | undefined)[];
}

/** How many candidates are listed. */
const MOST = 12;

function Candidates({ token, columns, of }: { token: RunToken; columns: { name: string; label: string }[]; of: Signal<Run> | undefined }) {
  const top = token.top ?? {};
  const words = strings.inspector;
  const pieces = new Map<number, string>([[token.id ?? -1, token.piece ?? token.text]]);
  for (const { name } of columns) for (const { id, piece } of top[name] ?? []) pieces.set(id, piece);
  const probability = (id: number, name: string): number | undefined => {
    const own = id === token.id ? token.log_prob?.[name] : top[name]?.find((entry) => entry.id === id)?.log_prob;
    return own === undefined ? undefined : own === null ? 0 : Math.exp(own);
  };
  const all: Candidate[] = [...pieces].map(([id, piece]) => ({ id, piece, probabilities: columns.map(({ name }) => probability(id, name)) }));
  const candidates = all.toSorted((a, b) => (b.probabilities.at(-1) ?? 0) - (a.probabilities.at(-1) ?? 0)).slice(0, MOST);
  const forks = of && canFork(of) && !asking.value;
  return (
    <>
      {columns.length > 1 && <Slopes candidates={candidates} labels={columns.map(({ label }) => label)} chosen={token.id} />}
      <div class="scroll" tabIndex={0} role="region" aria-label={words.candidates}>
        <table>
          <caption class="visually-hidden">{words.candidates}</caption>
          <thead>
            <tr>
              <th scope="col">{words.candidate}</th>
              {columns.map(({ name, label }) => (
                <th scope="col" key={name}>
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {candidates.map(({ id, piece, probabilities }) => (
              <tr key={id} class={id === token.id ? "chosen" : ""}>
                <th scope="row">
                  <code>{shown(piece)}</code>
                  {id === token.id && <span class="mark">{words.chosen}</span>}
                  {forks && id !== token.id && (
                    <button type="button" class="small" title={words.fork} aria-label={`${words.fork} ${shown(piece)}`} onClick={() => void fork(of, token.index, { id, piece })}>
                      ↳
                    </button>
                  )}
                </th>
                {probabilities.map((p, at) => {
                  const name = columns[at]?.name ?? "";
                  const least = Math.exp(top[name]?.at(-1)?.log_prob ?? 0);
                  return (
                    <td key={name}>
                      {p === undefined ? <span class="hint">{words.below(percent(least))}</span> : percent(p)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Candidates that are drawn, and how far apart their names stand, in units of the chart. */
const [DRAWN, APART] = [6, 13];

/** From without, over what was said, to the end: a line a candidate, the chosen one's strong. */
function Slopes({ candidates, labels, chosen }: { candidates: Candidate[]; labels: string[]; chosen: number | undefined }) {
  const [width, height, name] = [250, 120, 110];
  const drawn = candidates.slice(0, DRAWN);
  const x = (at: number) => (at * width) / Math.max(1, labels.length - 1);
  // By the root: small ones are told apart, too.
  const y = (p: number) => height - Math.sqrt(p) * height;
  // The least likely one's name stands lowest, and none covers another.
  let below = height + APART;
  const ends = drawn.toReversed().map((candidate) => {
    below = Math.min(y(candidate.probabilities.at(-1) ?? 0), below - APART);
    return { candidate, y: below };
  });
  const label = strings.inspector.slopes;
  return (
    <svg class="slopes" viewBox={`-4 ${Math.min(0, below) - 14} ${width + name + 8} ${height - Math.min(0, below) + 36}`} role="img" aria-label={label}>
      {labels.map((text, at) => (
        <g key={text}>
          <line class="axis" x1={x(at)} x2={x(at)} y1={0} y2={height} />
          <text x={x(at)} y={height + 16} text-anchor={at === 0 ? "start" : at === labels.length - 1 ? "end" : "middle"}>
            {text}
          </text>
        </g>
      ))}
      {ends.map(({ candidate, y: end }) => {
        const { id, piece, probabilities } = candidate;
        return (
          <g key={id} class={id === chosen ? "chosen" : ""}>
            <polyline points={probabilities.map((p, at) => `${x(at)},${y(p ?? 0).toFixed(1)}`).join(" ")} />
            <text x={width + 6} y={end + 4}>
              {shown(piece)}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

/** Amulet's update at this token, step by step. */
function Iterates({ token }: { token: RunToken }) {
  const iterates = token.iterates ?? [];
  const chosen = useSignal(iterates.length - 1);
  const at = iterates[Math.min(chosen.value, iterates.length - 1)];
  if (!at) return null;
  // The first step from which on the chosen one is ahead.
  const flip = 1 + iterates.findLastIndex(({ chosen, runner_up }) => runner_up !== null && runner_up > chosen);
  const bars = [
    { label: token.piece ?? token.text, value: at.chosen },
    ...(token.runner_up && at.runner_up !== null ? [{ label: token.runner_up.piece, value: at.runner_up }] : []),
  ];
  return (
    <section class="iterates">
      <h3>{strings.inspector.iterates}</h3>
      <input
        type="range"
        min={0}
        max={iterates.length - 1}
        step={1}
        value={Math.min(chosen.value, iterates.length - 1)}
        aria-label={strings.inspector.iterateLabel}
        aria-valuetext={strings.inspector.iterate(at.i, at.k)}
        onInput={({ currentTarget }) => {
          chosen.value = currentTarget.valueAsNumber;
        }}
      />
      <p class="hint">{strings.inspector.iterate(at.i, at.k)}</p>
      {flip > 0 && <p class="hint">{strings.inspector.flips(iterates[flip]?.i ?? 0, shown(token.piece ?? token.text))}</p>}
      <dl>
        {bars.map(({ label, value }, index) => (
          <div key={index}>
            <dt>
              <code>{shown(label)}</code> <span class="mark">{index === 0 ? strings.inspector.chosen : strings.inspector.runnerUp}</span>
            </dt>
            <dd>
              <span class="bar" style={{ inlineSize: `${Math.exp(value) * 100}%` }} />
              <span>{percent(Math.exp(value))}</span>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** A line over the answer's tokens, with the one that is inspected marked. */
function Plot({ name, values, at }: { name: string; values: number[]; at: number }) {
  const [width, height] = [320, 56];
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  const x = (index: number) => (index / Math.max(1, values.length - 1)) * width;
  const y = (value: number) => height - (value / (most || 1)) * height;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const label = strings.inspector.plot(name, mean, most);
  return (
    <figure>
      <figcaption>{label}</figcaption>
      <svg viewBox={`-3 -3 ${width + 6} ${height + 6}`} role="img" aria-label={label} preserveAspectRatio="none">
        <line class="axis" x1={0} x2={width} y1={height} y2={height} />
        <line class="cursor" x1={x(at)} x2={x(at)} y1={0} y2={height} />
        <polyline points={values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ")} />
      </svg>
    </figure>
  );
}
