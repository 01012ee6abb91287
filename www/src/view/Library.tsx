/** Chats that are kept, and files to open. */

import { exportChat, kept, open, openChat, removeChat } from "../files.ts";
import { asking, keeps, view } from "../state.ts";
import { strings } from "../strings.ts";
import { FileButton } from "./Files.tsx";

export function Library() {
  const isBusy = asking.value !== undefined;
  return (
    <section class="library" aria-labelledby="library-heading">
      <h2 id="library-heading">{strings.files.heading}</h2>
      <p class="hint">{strings.files.drop}</p>
      {!keeps.value && <p class="notice">{strings.files.notKept}</p>}
      <div class="buttons">
        <FileButton
          id="open-file"
          label={strings.files.open}
          accept=".json,.jsonl,.gguf"
          multiple
          disabled={isBusy}
          onFiles={(files) => void open(files)}
        />
        <button type="button" disabled={isBusy || view.value.turns.length === 0} onClick={exportChat}>
          {strings.files.export}
        </button>
      </div>
      <h3>{strings.files.chats}</h3>
      {kept.value.length === 0 && <p class="hint">{strings.files.noChats}</p>}
      <ul>
        {kept.value.map(({ id, title, changed }) => (
          <li key={id} class="line">
            <button type="button" class="link" disabled={isBusy} aria-label={strings.files.openChat(title)} onClick={() => openChat(id)}>
              {title}
            </button>
            {changed !== undefined && (
              <time class="hint" dateTime={new Date(changed).toISOString()}>
                {new Date(changed).toLocaleDateString()}
              </time>
            )}
            <button
              type="button"
              class="small"
              disabled={isBusy}
              aria-label={strings.files.remove(title)}
              onClick={() => void removeChat(id, title)}
            >
              {strings.model.removeShort}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
