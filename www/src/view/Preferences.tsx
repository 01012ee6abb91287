/** Which preferences an answer follows, and the profiles they are kept as. */

import { exportProfiles, open } from "../files.ts";
import { MOST_REWORDED, type Profile, starters, WEIGHT } from "../profiles.ts";
import { choose, combines, keepOwnWords, ownWords, profiles, setCombines } from "../state.ts";
import { strings } from "../strings.ts";
import { FileButton } from "./Files.tsx";

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

export function Preferences() {
  const { list, chosen } = profiles.value;
  const isAlone = ownWords.value.trim() !== "" && !combines.value;
  return (
    <section class="preferences" aria-labelledby="preferences-heading">
      <h2 id="preferences-heading">{strings.preferences.heading}</h2>
      <div class="chips" role="group" aria-labelledby="preferences-heading">
        {list.map(({ id, name }) => (
          <button type="button" key={id} aria-pressed={chosen.includes(id) && !isAlone} onClick={() => choose(id)}>
            {name}
          </button>
        ))}
      </div>
      <div class="own">
        <label for="own-words" class="visually-hidden">
          {strings.preferences.own}
        </label>
        <input
          id="own-words"
          autocomplete="off"
          placeholder={strings.preferences.ownPlaceholder}
          value={ownWords}
          onInput={({ currentTarget }) => {
            ownWords.value = currentTarget.value;
          }}
        />
        <button type="button" disabled={!ownWords.value.trim()} onClick={keepOwnWords}>
          {strings.preferences.keep}
        </button>
      </div>
      <div class="line">
        <label class="check">
          <input type="checkbox" checked={combines} onChange={({ currentTarget }) => setCombines(currentTarget.checked)} />
          {strings.preferences.combine}
        </label>
        <details class="editor">
          <summary>{strings.preferences.edit}</summary>
          <Editor list={list} />
        </details>
      </div>
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

function Editor({ list }: { list: Profile[] }) {
  const words = strings.preferences;
  return (
    <div>
      <p class="hint">
        {words.textHelp} {words.rewordedHelp}
      </p>
      <ol>
        {list.map(({ id, name, text, reworded }, at) => (
          <li key={id}>
            <label>
              <span>{words.name}</span>
              <input value={name} onInput={({ currentTarget }) => change(id, { name: currentTarget.value })} />
            </label>
            <label>
              <span>{words.text}</span>
              <input value={text} onInput={({ currentTarget }) => change(id, { text: currentTarget.value })} />
            </label>
            {Array.from({ length: MOST_REWORDED }, (_, place) => (
              <label key={place}>
                <span>{words.reworded(place)}</span>
                <input
                  value={reworded[place] ?? ""}
                  onInput={({ currentTarget }) => {
                    const all = Array.from({ length: MOST_REWORDED }, (_, at) => (at === place ? currentTarget.value : (reworded[at] ?? "")));
                    change(id, { reworded: all });
                  }}
                />
              </label>
            ))}
            <span class="buttons">
              <button type="button" class="small" aria-label={words.up(name)} disabled={at === 0} onClick={() => move(id, -1)}>
                ↑
              </button>
              <button
                type="button"
                class="small"
                aria-label={words.down(name)}
                disabled={at === list.length - 1}
                onClick={() => move(id, 1)}
              >
                ↓
              </button>
              <button type="button" class="small" aria-label={words.delete(name)} onClick={() => remove(id, name)}>
                ✕
              </button>
            </span>
          </li>
        ))}
      </ol>
      <div class="buttons">
        <button type="button" class="small" onClick={exportProfiles}>
          {words.export}
        </button>
        <FileButton id="preferences-file" label={words.import} accept=".json" onFiles={(files) => void open(files)} />
        <button
          type="button"
          class="small"
          onClick={() => {
            const { list, chosen } = profiles.value;
            const missing = starters().list.filter(({ id }) => !list.some((profile) => profile.id === id));
            profiles.value = { list: [...list, ...missing], chosen };
          }}
        >
          {words.reset}
        </button>
      </div>
    </div>
  );
}
