/** The page as a whole. */

import { useEffect } from "preact/hooks";
import { openDropped, showFirst } from "../files.ts";
import { addressForm, announcement, asking, language, loading, modelFault, speak, view } from "../state.ts";
import { remember } from "../storage.ts";
import { type Language, LANGUAGES, strings } from "../strings.ts";
import { Answers } from "./Answers.tsx";
import { Composer } from "./Composer.tsx";
import { Demo } from "./Demo.tsx";
import { Inspector } from "./Inspector.tsx";
import { Library } from "./Library.tsx";
import { Device, Model } from "./Model.tsx";
import { Refine } from "./Refine.tsx";
import { Toast } from "./Toast.tsx";

export function App() {
  useDrops();
  useKeptFocus();
  const isFirst = view.value.kind === "recorded";
  return (
    <>
      <a class="skip" href="#question">
        {strings.skip}
      </a>
      <header>
        <div class="line">
          <h1>{strings.title}</h1>
          {!isFirst && (
            <button type="button" class="small" disabled={asking.value !== undefined} onClick={showFirst}>
              {strings.demo.again}
            </button>
          )}
          <Languages />
          <Device />
        </div>
        {isFirst && (
          <>
            <p class="claim">{strings.claim}</p>
            <p class="hint aside">{strings.claimMore}</p>
          </>
        )}
      </header>
      <main>
        {isFirst && <Demo />}
        <h2 class="own-heading" hidden={!isFirst}>
          {strings.demo.own}
        </h2>
        <Model />
        <div class="work" data-chats={!isFirst}>
          {!isFirst && <Library />}
          <div class="talk">
            {!isFirst && <Answers />}
            <Refine />
            <Composer isSticky={!isFirst} />
          </div>
          <Inspector />
        </div>
        {isFirst && <Library />}
      </main>
      <Toast />
      <footer>{strings.footer}</footer>
      <p id="live" class="visually-hidden" aria-live="polite">
        {announcement}
      </p>
    </>
  );
}

function Languages() {
  return (
    <select
      class="languages"
      aria-label={strings.language}
      value={language.value}
      onChange={({ currentTarget }) => {
        const chosen = currentTarget.value as Language;
        remember("language", chosen);
        void speak(chosen).then(() => document.querySelector<HTMLElement>(".languages")?.focus());
      }}
    >
      {Object.entries(LANGUAGES).map(([code, name]) => (
        <option key={code} value={code} lang={code}>
          {name}
        </option>
      ))}
    </select>
  );
}

/** What had the focus last. */
let focused: Element | undefined;

/** Where a button goes or is disabled by what it began, the focus goes to what can be done next, and never to the page's top. */
function useKeptFocus(): void {
  useEffect(() => {
    const note = ({ target }: FocusEvent) => {
      if (target instanceof Element) focused = target;
    };
    addEventListener("focusin", note);
    return () => removeEventListener("focusin", note);
  }, []);
  const next = loading.value ? "#load-progress button" : asking.value ? "#stop-button" : modelFault.value && addressForm.value.isOpen ? "#model-url" : "#question";
  useEffect(() => {
    const isLost = focused !== undefined && (!focused.isConnected || focused.matches(":disabled"));
    const isElsewhere = document.activeElement !== null && document.activeElement !== document.body && document.activeElement !== focused;
    if (isLost && !isElsewhere) document.querySelector<HTMLElement>(next)?.focus({ preventScroll: true });
  }, [next]);
}

/** Files dropped anywhere on the page. */
function useDrops(): void {
  useEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const over = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      document.body.dataset.drop = "";
    };
    const leave = (event: DragEvent) => {
      if (!event.relatedTarget) delete document.body.dataset.drop;
    };
    const drop = (event: DragEvent) => {
      delete document.body.dataset.drop;
      if (!hasFiles(event)) return;
      event.preventDefault();
      if (event.dataTransfer) void openDropped(event.dataTransfer);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, []);
}
