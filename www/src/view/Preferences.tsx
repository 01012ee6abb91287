/** Which preferences an answer follows, and the profiles they are kept as. */

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { exportProfiles, open } from "../files.ts";
import { joined, MOST_REWORDED, PAPERS, type Profile, starters, WEIGHT } from "../profiles.ts";
import { choose, combines, keepOwnWords, ownWords, profiles, setCombines, take } from "../state.ts";
import { strings } from "../strings.ts";
import { FileButton } from "./Files.tsx";
import { You } from "./You.tsx";

function change(id: string, part: Partial<Profile>): void {
  const { list, chosen } = profiles.value;
  profiles.value = { list: list.map((profile) => (profile.id === id ? { ...profile, ...part } : profile)), chosen };
}

function move(id: string, by: number): void {
  const { list, chosen } = profiles.value;
  const from = list.findIndex((profile) => profile.id === id);
  const to = from + by;
  const [moved] = list.slice(from, from + 1);
  if (!moved || to < 0 || to >= list.length) return;
  profiles.value = { list: list.toSpliced(from, 1).toSpliced(to, 0, moved), chosen };
}

function remove(id: string, name: string): void {
  if (!confirm(strings.preferences.sure(name))) return;
  const { list, chosen } = profiles.value;
  profiles.value = { list: list.filter((profile) => profile.id !== id), chosen: chosen.filter((other) => other !== id) };
}

/** The id of the preference that is edited. */
const edited = signal<string | undefined>(undefined);

export function Preferences() {
  const { list, chosen } = profiles.value;
  const words = strings.preferences;
  const isAlone = ownWords.value.trim() !== "" && !combines.value;
  const at = list.findIndex(({ id }) => id === edited.value);
  const profile = list[at];
  return (
    <section class="preferences" aria-labelledby="preferences-heading">
      <h2 id="preferences-heading">{words.heading}</h2>
      <div class="chips" role="group" aria-labelledby="preferences-heading">
        {list.map(({ id, name }) => (
          <span class="chip" key={id}>
            <button type="button" aria-pressed={chosen.includes(id) && !isAlone} onClick={() => choose(id)}>
              {name}
            </button>
            <button
              type="button"
              class="pencil"
              id={`edit-${id}`}
              aria-label={words.editOne(name)}
              aria-expanded={id === edited.value}
              onClick={() => {
                edited.value = id === edited.value ? undefined : id;
              }}
            />
          </span>
        ))}
      </div>
      {profile && <Editor key={profile.id} profile={profile} at={at} count={list.length} />}
      <form
        class="own"
        onSubmit={(event) => {
          event.preventDefault();
          keepOwnWords();
        }}
      >
        <label for="own-words" class="visually-hidden">
          {words.own}
        </label>
        <input
          id="own-words"
          autocomplete="off"
          placeholder={words.ownPlaceholder}
          value={ownWords}
          onInput={({ currentTarget }) => {
            ownWords.value = currentTarget.value;
          }}
        />
        <button type="submit" disabled={!ownWords.value.trim()}>
          {words.keep}
        </button>
      </form>
      <div class="line">
        <label class="check">
          <input type="checkbox" checked={combines} onChange={({ currentTarget }) => setCombines(currentTarget.checked)} />
          {words.combine}
        </label>
        <details class="more">
          <summary>{words.more}</summary>
          <More />
        </details>
      </div>
      <You />
      {combines.value && <Weights list={list.filter(({ id }) => chosen.includes(id))} />}
    </section>
  );
}

function Weights({ list }: { list: Profile[] }) {
  return (
    <ul class="weights">
      {list.map(({ id, name, weight }) => (
        <li key={id}>
          <label>
            <span>{name}</span>
            <input
              type="range"
              {...WEIGHT}
              value={weight}
              aria-label={strings.preferences.weight(name)}
              onInput={({ currentTarget }) => change(id, { weight: currentTarget.valueAsNumber })}
            />
            <output>{weight.toFixed(1)}</output>
          </label>
        </li>
      ))}
    </ul>
  );
}

/** One preference's name and words, taken as they are typed; without words a preference says nothing, so that its last ones stay. */
function Editor({ profile, at, count }: { profile: Profile; at: number; count: number }) {
  const { id, name, text, reworded } = profile;
  const words = strings.preferences;
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => first.current?.focus(), []);
  const close = () => {
    edited.value = undefined;
    document.getElementById(`edit-${id}`)?.focus();
  };
  return (
    <form
      class="editor"
      aria-label={words.editOne(name)}
      onSubmit={(event) => {
        event.preventDefault();
        close();
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") close();
      }}
    >
      <label>
        <span>{words.name}</span>
        <input
          ref={first}
          required
          value={name}
          onInput={({ currentTarget: { value } }) => {
            if (value.trim()) change(id, { name: value });
          }}
          onBlur={({ currentTarget }) => {
            currentTarget.value = name;
          }}
        />
      </label>
      <label>
        <span>{words.text}</span>
        <input
          required
          value={text}
          aria-describedby="preference-help"
          onInput={({ currentTarget: { value } }) => {
            if (value.trim()) change(id, { text: value });
          }}
          onBlur={({ currentTarget }) => {
            currentTarget.value = text;
          }}
        />
      </label>
      {Array.from({ length: MOST_REWORDED }, (_, place) => (
        <label key={place}>
          <span>{words.reworded(place)}</span>
          <input
            value={reworded[place] ?? ""}
            aria-describedby="preference-help"
            onInput={({ currentTarget }) => {
              const all = Array.from({ length: MOST_REWORDED }, (_, at) => (at === place ? currentTarget.value : (reworded[at] ?? "")));
              change(id, { reworded: all });
            }}
          />
        </label>
      ))}
      <p id="preference-help" class="hint">
        {words.textHelp} {words.rewordedHelp}
      </p>
      <div class="buttons">
        <button type="submit" class="small">
          {words.done}
        </button>
        <button type="button" class="small" aria-label={words.up(name)} disabled={at === 0} onClick={() => move(id, -1)}>
          ←
        </button>
        <button type="button" class="small" aria-label={words.down(name)} disabled={at === count - 1} onClick={() => move(id, 1)}>
          →
        </button>
        <button type="button" class="small" aria-label={words.delete(name)} onClick={() => remove(id, name)}>
          {words.deleteShort}
        </button>
      </div>
    </form>
  );
}

/** The paper's preferences, and files of them. */
function More() {
  const words = strings.preferences;
  return (
    <>
      <p class="hint" id="papers-label">
        {words.papers}
      </p>
      <div class="papers" role="group" aria-labelledby="papers-label">
        {PAPERS.map((profile) => (
          <button type="button" class="small" key={profile.id} onClick={() => take(profile)}>
            {profile.name}
          </button>
        ))}
      </div>
      <div class="buttons">
        <button type="button" class="small" onClick={exportProfiles}>
          {words.export}
        </button>
        <FileButton id="preferences-file" label={words.import} accept=".json" onFiles={(files) => void open(files)} />
        <button
          type="button"
          class="small"
          onClick={() => {
            profiles.value = joined(profiles.value, starters().list);
          }}
        >
          {words.reset}
        </button>
      </div>
    </>
  );
}
