/** Chats that are kept, and files to open. */

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { exportChat, exportChats, kept, open, openChat, removeChat, renameChat, searched } from "../files.ts";
import { asking, keeps, view } from "../state.ts";
import { strings } from "../strings.ts";
import { FileButton } from "./Files.tsx";

/** From so many chats on there is something to search. */
const MANY = 4;

const search = signal("");
/** The id of the chat that is being renamed. */
const renamed = signal<string | undefined>(undefined);

export function Library() {
  const isBusy = asking.value !== undefined;
  const words = strings.files;
  const listed = searched(search.value);
  return (
    <section class="library" aria-labelledby="library-heading">
      <h2 id="library-heading">{words.heading}</h2>
      {!keeps.value && <p class="notice">{words.notKept}</p>}
      <h3>{words.chats}</h3>
      {kept.value.length >= MANY && (
        <input
          type="search"
          aria-label={words.search}
          placeholder={words.search}
          value={search}
          onInput={({ currentTarget }) => {
            search.value = currentTarget.value;
          }}
        />
      )}
      {kept.value.length === 0 && <p class="hint">{words.noChats}</p>}
      {kept.value.length > 0 && listed.length === 0 && <p class="hint">{words.noneFound}</p>}
      <ul>
        {listed.map(({ id, title, changed }) =>
          id === renamed.value ? (
            <li key={id}>
              <Rename id={id} title={title} />
            </li>
          ) : (
            <li key={id} class="line" data-now={view.value.id === id}>
              <button type="button" class="link" id={`chat-${id}`} disabled={isBusy} aria-label={words.openChat(title)} onClick={() => openChat(id)}>
                {title}
              </button>
              {changed !== undefined && (
                <time class="hint" dateTime={new Date(changed).toISOString()}>
                  {new Date(changed).toLocaleDateString()}
                </time>
              )}
              <span class="tools">
                <button
                  type="button"
                  class="small pencil"
                  disabled={isBusy}
                  aria-label={words.rename(title)}
                  onClick={() => {
                    renamed.value = id;
                  }}
                />
                <button type="button" class="small close" disabled={isBusy} aria-label={words.remove(title)} onClick={() => void removeChat(id)} />
              </span>
            </li>
          ),
        )}
      </ul>
      <div class="buttons">
        <FileButton
          id="open-file"
          label={words.open}
          accept=".json,.jsonl,.gguf"
          multiple
          disabled={isBusy}
          onFiles={(files) => void open(files)}
        />
        <button type="button" class="small" disabled={isBusy || view.value.turns.length === 0} onClick={exportChat}>
          {words.export}
        </button>
        <button type="button" class="small" disabled={isBusy || kept.value.length === 0} onClick={exportChats}>
          {words.exportAll}
        </button>
      </div>
      <p class="hint">{words.drop}</p>
    </section>
  );
}

function Rename({ id, title }: { id: string; title: string }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const end = () => {
    renamed.value = undefined;
  };
  /** By the keyboard: it goes on where it was. */
  const endHere = () => {
    end();
    setTimeout(() => document.getElementById(`chat-${id}`)?.focus());
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void renameChat(id, field.current?.value ?? "").then(endHere);
      }}
    >
      <input
        ref={field}
        required
        aria-label={strings.files.rename(title)}
        defaultValue={title}
        onBlur={end}
        onKeyDown={(event) => {
          if (event.key === "Escape") endHere();
        }}
      />
    </form>
  );
}
