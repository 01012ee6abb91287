/** A button that opens files. */
export function FileButton(props: {
  id: string;
  label: string;
  accept: string;
  disabled?: boolean;
  multiple?: boolean;
  onFiles: (files: File[]) => void;
}) {
  return (
    <label class="file">
      <input
        type="file"
        id={props.id}
        accept={props.accept}
        disabled={props.disabled ?? false}
        multiple={props.multiple ?? false}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          // So that choosing the same file again is a change again.
          currentTarget.value = "";
          if (files.length > 0) props.onFiles(files);
        }}
      />
      <span>{props.label}</span>
    </label>
  );
}
